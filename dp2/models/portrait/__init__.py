"""The networks of dp2's own face generator."""
