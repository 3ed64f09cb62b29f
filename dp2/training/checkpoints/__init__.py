"""Checkpoints of a training run and the state in them."""
