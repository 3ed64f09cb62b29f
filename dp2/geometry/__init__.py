"""Boxes and masks of frames, as plain functions."""
