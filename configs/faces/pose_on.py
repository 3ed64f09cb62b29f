"""As `pose`, begun with the shipped weights: for going on without the checkpoints of the run that made them."""

from dp2.config import L

from .pose import data, generator, training, weights

training.objective.generator = L("dp2.training.objectives.portrait_parts.begun")(
    network="${generator}", weights="dp2/face_pose"
)
