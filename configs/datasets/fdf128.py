"""FDF128: faces at 128x128 with 7 keypoints."""

data = {"resolution": [128, 128], "keypoints": 7}
