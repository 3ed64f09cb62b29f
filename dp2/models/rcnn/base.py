"""What every R-CNN here shares: input, backbone, proposals, boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import resize

from dp2.errors import UsageError
from dp2.models.rcnn.box_deltas import clip_boxes, nonempty
from dp2.models.rcnn.resnet_fpn import FPN, STRIDES, BackboneSettings
from dp2.models.rcnn.roi_align import RoiAlign
from dp2.models.rcnn.roi_heads import BoxDetections, BoxHead, BoxPredictor, Selection, select
from dp2.models.rcnn.rpn import RPN, ProposalSettings

BGR_MEAN = (103.530, 116.280, 123.675)

# What published files hold beside weights: constants that the networks make themselves
LEFTOVERS = ("*anchor_generator.cell_anchors.*", "pixel_mean", "pixel_std")

_DIVISOR = 32
_BOX_SIDE = 7

T = TypeVar("T")


@dataclass(frozen=True)
class RCNNSettings:
    """Sizes and conventions of an R-CNN.

    Attributes:
        classes: foreground classes.
        hidden: width of the box head's two layers.
        box_align: how regions are sampled for the box head.
        pixel_mean, pixel_std: of the blue, green and red channel, in 0..255.
    """

    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    proposals: ProposalSettings = field(default_factory=ProposalSettings)
    classes: int = 80
    hidden: int = 1024
    box_align: RoiAlign = field(default_factory=RoiAlign)
    pixel_mean: tuple[float, float, float] = BGR_MEAN
    pixel_std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Regions:
    """Detected boxes of a batch of equally large images, with the features to look closer.

    Attributes:
        features: p2 … p5, [N, C, H / stride, W / stride].
        detections: for each image, in pixels of the network's input.
        output_boxes: for each image (R_i, 4) float32, the same boxes in pixels of the original.
    """

    features: tuple[Tensor, ...]
    detections: tuple[BoxDetections, ...]
    output_boxes: tuple[Tensor, ...]

    @property
    def boxes(self) -> list[Tensor]:
        """For each image its (R_i, 4) boxes."""
        return [image.boxes for image in self.detections]

    @property
    def counts(self) -> list[int]:
        """How many regions each image has."""
        return [len(image.boxes) for image in self.detections]


class RCNN(nn.Module):
    """Backbone, proposals and box head: the part that Mask, Keypoint and DensePose R-CNN share.

    Args:
        heads: further members of `roi_heads`, by detectron2's names.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, *, settings: RCNNSettings, heads: dict[str, nn.Module] | None = None) -> None:
        super().__init__()
        channels = settings.backbone.fpn_channels
        self.backbone = FPN(settings.backbone)
        self.proposal_generator = RPN(channels=channels, settings=settings.proposals)
        self.roi_heads = nn.ModuleDict(
            {
                "box_head": BoxHead(channels=channels, side=_BOX_SIDE, hidden=settings.hidden),
                "box_predictor": BoxPredictor(hidden=settings.hidden, classes=settings.classes),
                **(heads or {}),
            }
        )
        self.box_align = settings.box_align
        self.register_buffer("pixel_mean", torch.tensor(settings.pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(settings.pixel_std).view(3, 1, 1), persistent=False)

    def find_regions(self, images: Tensor, sizes: Sequence[tuple[int, int]], selection: Selection) -> Regions:
        """Boxes in a batch of equally large images; those that vanish in the original are dropped.

        Args:
            images: [N, 3, H, W] RGB in 0..255, already resized.
            sizes: (height, width) of each original image.

        Raises:
            DetectionError: the network's output is not finite.
        """
        pyramid = list(self.backbone(self._normalise(images)).values())
        size = (images.shape[-2], images.shape[-1])
        proposals = [boxes for boxes, _ in self.proposal_generator(pyramid, size)]
        features = tuple(pyramid[: len(STRIDES) - 1])
        regions = self.box_align(features, proposals, _BOX_SIDE)
        logits, deltas = self.roi_heads["box_predictor"](self.roi_heads["box_head"](regions))
        counts = [len(boxes) for boxes in proposals]
        found, placed = [], []
        parts = zip(per_image(logits, counts), per_image(deltas, counts), proposals, sizes, strict=True)
        for scores, moves, boxes, original in parts:
            detections = select(scores, moves, boxes, size, selection)
            rescaled = _rescale(detections.boxes, size, original)
            keep = nonempty(rescaled)
            found.append(BoxDetections(detections.boxes[keep], detections.scores[keep], detections.classes[keep]))
            placed.append(rescaled[keep])
        return Regions(features, tuple(found), tuple(placed))

    def _normalise(self, images: Tensor) -> Tensor:
        bgr = (images.flip(1).float() - self.pixel_mean) / self.pixel_std
        height, width = images.shape[-2:]
        return F.pad(bgr, (0, -width % _DIVISOR, 0, -height % _DIVISOR))


def per_image(regions: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """[R, …] of all images → for each its own [R_i, …]."""
    return list(regions.split(list(counts)))  # type: ignore[no-untyped-call]


def in_batches(images: Sequence[Tensor], run: Callable[[Tensor, list[int]], Sequence[T]]) -> list[T]:
    """Each image's result, with equally large images processed together.

    Args:
        images: (3, H, W) each.
        run: a batch [N, 3, H, W] and the places of its images → N results.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        groups.setdefault(tuple(image.shape), []).append(i)
    results: dict[int, T] = {}
    for members in groups.values():
        results.update(zip(members, run(torch.stack([images[i] for i in members]), members), strict=True))
    return [results[i] for i in range(len(images))]


def shortest_edge_size(height: int, width: int, short: int = 800, longest: int = 1333) -> tuple[int, int]:
    """(height, width) with the shorter side at `short`, unless the longer one would then pass `longest`.

    Raises:
        UsageError: a side is zero.
    """
    if min(height, width) < 1:
        raise UsageError(f"An image of {height}×{width} pixels cannot be resized.")
    scale = short / min(height, width)
    new_height, new_width = (short, scale * width) if height < width else (scale * height, short)
    if max(new_height, new_width) > longest:
        scale = longest / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return int(new_height + 0.5), int(new_width + 0.5)


def resize_shortest_edge(images: Tensor, short: int = 800, longest: int = 1333) -> Tensor:
    """The resize that Mask R-CNN and CSE share: antialiased bilinear, rounded to bytes if it got bytes.

    Args:
        images: (…, 3, H, W) uint8 or float32.

    Returns:
        (…, 3, H', W') of the same type.
    """
    size = shortest_edge_size(images.shape[-2], images.shape[-1], short, longest)
    resized: Tensor = resize(images, list(size), antialias=True)
    return resized


def _rescale(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    scale_y, scale_x = (after / before for after, before in zip(new, old, strict=True))
    return clip_boxes(boxes * boxes.new_tensor([scale_x, scale_y, scale_x, scale_y]), new)
