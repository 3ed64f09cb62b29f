"""Formats of checkpoints and networks, read as data: nothing in a file is executed."""
