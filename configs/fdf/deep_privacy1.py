"""Faces at 128x128 with seven keypoints: the generator of DeepPrivacy1."""

from dp2.config import L

from ..datasets.fdf128 import data

generator = L("dp2.models.deep_privacy1.DeepPrivacy1")()
rename = "dp2.models.deep_privacy1.rename_published"
weights = "fdf/deep_privacy1"
