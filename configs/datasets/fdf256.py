"""FDF256: faces at 256x256."""

data = {"resolution": [256, 256]}
