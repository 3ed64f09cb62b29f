"""Detections as files: JSON lines, COCO, and a sealed cache."""
