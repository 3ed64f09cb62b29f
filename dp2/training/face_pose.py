"""Training of the pose network: where the face's points are, its expression, what is seen of it, if it is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.data.batch import Batch
from dp2.data.posed import EXPRESSION_STEP
from dp2.errors import TrainingError
from dp2.faces.mesh import read_model
from dp2.models.face_pose import FacePoseNet, orthonormal
from dp2.training.objectives.objective import Losses, Phase

_EVERY = 6  # of the points is compared


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts of the loss.

    Attributes:
        points: mean distance of the face's points, in sides of the crop.
        rotation: of the rotation's numbers.
        expression: in tenths of a model unit.
        mask, face: cross-entropies.
    """

    points: float = 20.0
    rotation: float = 0.5
    expression: float = 0.3
    mask: float = 0.7
    face: float = 0.3


class FacePoseObjective:
    """Supervised by exact labels.

    Args:
        generator: the network.
        weights: of the losses.
    """

    def __init__(self, *, generator: FacePoseNet, weights: Weights | None = None) -> None:
        self._network = generator
        self._weights = weights or Weights()
        model = read_model()
        self._mean = torch.from_numpy(model.mean[::_EVERY].copy())
        self._moves = torch.from_numpy(model.expressions[:, ::_EVERY].copy()) * EXPRESSION_STEP

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """As in `Objective`."""
        return {"generator": self._network}

    def phases(self, step: int) -> Sequence[Phase]:  # noqa: ARG002
        """As in `Objective`."""
        return [Phase("generator", ("generator",), self._losses)]

    def state_dict(self) -> dict[str, Any]:
        """As in `Objective`: nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As in `Objective`."""

    def paint(self, generator: nn.Module, batch: Batch, chance: torch.Generator) -> Tensor:  # noqa: ARG002
        """As in `Paints`: points where they are found, in green; what is seen, brighter."""
        told = generator(batch.real)
        shown = batch.real * 0.6
        seen = F.interpolate(torch.sigmoid(told.mask.float()), scale_factor=2.0)
        shown = shown + 0.3 * seen
        side = shown.shape[-1]
        places = ((self._points(told.pose.float())[..., :2] + 0.5) * side).round().long().clamp(0, side - 1)
        for row, spots in enumerate(places):
            if float(told.face[row]) > 0:
                shown[row, :, spots[:, 1], spots[:, 0]] = torch.tensor([-1.0, 1.0, -1.0])[:, None]
        return shown

    def _points(self, pose: Tensor) -> Tensor:
        """(N, P, 3) in sides of the crop, from its middle."""
        face = self._mean.to(pose) + torch.einsum("ne,epc->npc", pose[:, 9:14], self._moves.to(pose))
        turned = face @ orthonormal(pose[:, :6]).transpose(1, 2)
        return turned * pose[:, 6].clamp(-8, 2).exp()[:, None, None] + F.pad(pose[:, 7:9], (0, 1))[:, None]

    def _losses(self, batch: Batch, rng: torch.Generator) -> Losses:  # noqa: ARG002
        if batch.pose is None:
            raise TrainingError("the pose network is trained on samples with a pose.")
        told = self._network(batch.real.contiguous(memory_format=torch.channels_last))
        wanted, there = batch.pose, batch.pose[:, 14]
        pose = told.pose.float()
        count = there.sum().clamp(min=1)
        with torch.autocast(pose.device.type, enabled=False):
            away = (self._points(pose) - self._points(wanted)).norm(dim=2).mean(1)
            turned = (pose[:, :6] - wanted[:, :6]).abs().mean(1)
            moved = F.smooth_l1_loss(pose[:, 9:14], wanted[:, 9:14], reduction="none").mean(1)
        points, rotation, expression = ((value * there).sum() / count for value in (away, turned, moved))
        mask = F.binary_cross_entropy_with_logits(told.mask.float(), F.avg_pool2d(batch.keep, 2))
        face = F.binary_cross_entropy_with_logits(told.face.float()[:, 0], there)
        w = self._weights
        total = w.points * points + w.rotation * rotation + w.expression * expression + w.mask * mask + w.face * face
        numbers = {"points": points, "rotation": rotation, "expression": expression, "mask": mask, "face": face}
        return Losses(total, {name: value.detach() for name, value in numbers.items()})
