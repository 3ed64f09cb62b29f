"""DensePose with continuous surface embeddings (CSE): for each person, which pixel shows which point of the body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dp2.models.nearest_vertices import VertexIndex
from dp2.models.rcnn.base import RCNN, RCNNSettings, Regions, in_batches, per_image
from dp2.models.rcnn.box_deltas import nonempty
from dp2.models.rcnn.densepose_heads import Decoder, DensePoseHead, EmbeddingPredictor, VertexEmbedder
from dp2.models.rcnn.resnet_fpn import BackboneSettings
from dp2.models.rcnn.roi_align import RoiAlign
from dp2.models.rcnn.roi_heads import BoxDetections, Selection

LEGACY_ALIGN = RoiAlign(aligned=False, sampling_ratio=2)

_HEAD_SIDE, _MAP_SIDE = 28, 112
_AT_ONCE = 64  # regions in the head: 100 of them would take 1 GB of activations a layer
_LOOKED_UP = 65536  # pixels a step: their distances to the mesh's groups take 32 MB
_MESH = "embedder_smpl_27554"


@dataclass(frozen=True)
class CSESettings:
    """Sizes of a CSE network. The defaults are R101 DL soft.

    Attributes:
        rcnn: backbone and box head.
        decoder_width: channels of the decoder and of what it gives to the head.
        head_width, head_convs: of the convolutions of the head.
        deeplab: whether the head has ASPP and group norms.
        embedding: dimensions of the surface embedding.
        vertices, vertex_features: of the mesh.
    """

    rcnn: RCNNSettings = field(
        default_factory=lambda: RCNNSettings(
            backbone=BackboneSettings(depths=(3, 4, 23, 3)), classes=1, box_align=LEGACY_ALIGN
        )
    )
    decoder_width: int = 256
    head_width: int = 512
    head_convs: int = 8
    deeplab: bool = True
    embedding: int = 16
    vertices: int = 27554
    vertex_features: int = 256


R101_DL_SOFT = CSESettings()
R50 = replace(R101_DL_SOFT, rcnn=replace(R101_DL_SOFT.rcnn, backbone=BackboneSettings()), deeplab=False)


@dataclass(frozen=True)
class SurfaceDetections:
    """People found in one image, best first.

    Attributes:
        boxes: (N, 4) int64 x0 y0 x1 y1 in whole pixels of the original image.
        scores: (N,) float32.
        body: (N, 112, 112) bool within the box: body or background.
        embedding: (N, E, 112, 112) float32 within the box; means nothing where `body` is false.
    """

    boxes: Tensor
    scores: Tensor
    body: Tensor
    embedding: Tensor


class DensePoseCSE(RCNN):
    """Boxes, body segmentation and surface embeddings of people.

    Args:
        settings: sizes; the default is the published R101 DL soft, `R50` the other published one.
    """

    def __init__(self, *, settings: CSESettings = R101_DL_SOFT) -> None:
        channels, width = settings.rcnn.backbone.fpn_channels, settings.decoder_width
        embedder = VertexEmbedder(
            vertices=settings.vertices, features=settings.vertex_features, embedding=settings.embedding
        )
        heads = {
            "decoder": Decoder(channels=channels, width=width, out_channels=width),
            "densepose_head": DensePoseHead(
                channels=width, width=settings.head_width, convs=settings.head_convs, deeplab=settings.deeplab
            ),
            "densepose_predictor": EmbeddingPredictor(width=settings.head_width, embedding=settings.embedding),
            "embedder": nn.ModuleDict({_MESH: embedder}),
        }
        super().__init__(settings=settings.rcnn, heads=heads)
        self.embedding = settings.embedding

    def forward(
        self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]], selection: Selection
    ) -> list[SurfaceDetections]:
        """Detections of each image; equally large ones go through the network together.

        Args:
            images: (3, H, W) each, RGB in 0..255, resized (`resize_shortest_edge`).
            sizes: (height, width) of each original image.

        Raises:
            DetectionError: the network's output is not finite.
        """

        def batch(stacked: Tensor, members: list[int]) -> list[SurfaceDetections]:
            regions = _whole_pixels(self.find_regions(stacked, [sizes[i] for i in members], selection))
            segmentation, embedding = self._surfaces(regions)
            body = per_image(segmentation[:, 1] > segmentation[:, 0], regions.counts)
            surface = per_image(embedding, regions.counts)
            parts = zip(regions.output_boxes, regions.detections, body, surface, strict=True)
            return [SurfaceDetections(boxes.long(), found.scores, *maps) for boxes, found, *maps in parts]

        return in_batches(images, batch)

    def vertex_embeddings(self) -> Tensor:
        """(V, E) float32: the embedding of each vertex of the mesh SMPL, rows of length one."""
        return cast(Tensor, self.get_submodule(f"roi_heads.embedder.{_MESH}")())

    def _surfaces(self, regions: Regions) -> tuple[Tensor, Tensor]:
        features = regions.features[0]
        if not sum(regions.counts):
            # The decoder works on the whole picture; without people it is the costliest part of an empty frame
            empty = features.new_empty((0, 2, _MAP_SIDE, _MAP_SIDE), dtype=torch.float32)
            return empty, empty.new_empty((0, self.embedding, _MAP_SIDE, _MAP_SIDE))
        decoded = self.roi_heads["decoder"](regions.features)
        pooled = LEGACY_ALIGN([decoded], regions.boxes, _HEAD_SIDE)
        head, predictor = self.roi_heads["densepose_head"], self.roi_heads["densepose_predictor"]
        parts = [predictor(head(part)) for part in torch.split(pooled, _AT_ONCE)]
        segmentation, embedding = (torch.cat(part) for part in zip(*parts, strict=True))
        return segmentation, embedding


def _whole_pixels(regions: Regions) -> Regions:
    """The same with output boxes rounded; those without a pixel are dropped."""
    found, placed = [], []
    for detections, boxes in zip(regions.detections, regions.output_boxes, strict=True):
        rounded = boxes.round()
        keep = nonempty(rounded)
        found.append(BoxDetections(detections.boxes[keep], detections.scores[keep], detections.classes[keep]))
        placed.append(rounded[keep])
    return Regions(regions.features, tuple(found), tuple(placed))


def body_masks(detections: SurfaceDetections, size: tuple[int, int]) -> Tensor:
    """Segmentations in the picture, by nearest neighbours as in the published pipeline.

    Args:
        size: (height, width) of the original image.

    Returns:
        (N, height, width) bool.
    """
    masks = detections.body.new_zeros((len(detections.boxes), *size))
    for i, (x0, y0, x1, y1) in enumerate(detections.boxes.tolist()):
        body = detections.body[i : i + 1, None].to(torch.uint8)
        masks[i, y0:y1, x0:x1] = interpolate(body, size=(y1 - y0, x1 - x0), mode="nearest")[0, 0].bool()
    return masks


def closest_vertices(embedding: Tensor, body: Tensor, vertices: VertexIndex) -> Tensor:
    """For each pixel of a body the mesh vertex whose embedding is nearest to the pixel's.

    Args:
        embedding: (N, E, H, W) float32, at any resolution.
        body: (N, H, W) bool; elsewhere nothing is looked up.
        vertices: of the mesh.

    Returns:
        (N, H, W) int64; 0 outside the body.
    """
    found = torch.zeros(body.shape, dtype=torch.int64, device=body.device)
    pixels = embedding.permute(0, 2, 3, 1)[body].float()  # [P, E]
    parts = torch.split(pixels, _LOOKED_UP) if len(pixels) else ()
    found[body] = torch.cat([vertices.nearest(part) for part in parts]) if parts else found.new_empty(0)
    return found
