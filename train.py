"""Train a generator: `python train.py --help`."""

from dp2.cli.commands.train import train

if __name__ == "__main__":
    train(prog_name="train.py")
