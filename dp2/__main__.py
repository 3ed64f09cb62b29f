"""`python -m dp2`: the command `dp2`."""

from dp2.cli import main

if __name__ == "__main__":
    main(prog_name="dp2")
