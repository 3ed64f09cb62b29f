"""Detectors of people: boxes, masks, keypoints, body surfaces."""
