"""R-CNNs and DensePose under detectron2's parameter names."""
