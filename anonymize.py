"""Anonymize photos, folders, videos and cameras: `python anonymize.py --help`."""

from dp2.cli.commands.anonymize import anonymize

if __name__ == "__main__":
    anonymize(prog_name="anonymize.py")
