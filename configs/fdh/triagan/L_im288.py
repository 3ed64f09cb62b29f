"""Bodies at 288x160 with a drawing of their joints (FDH)."""

from ...datasets.fdh import data
from ...generators.triagan import generator, rename

weights = "fdh/triagan/L_im288"
