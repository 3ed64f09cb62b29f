"""FDH: bodies at 288x160 with 17 keypoints and surface embeddings of 16 channels."""

data = {"resolution": [288, 160], "keypoints": 17, "embedding_channels": 16}
