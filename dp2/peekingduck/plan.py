"""From nodes to what dp2 does: an anonymizer, a drawing, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dp2.errors import UsageError
from dp2.peekingduck.nodes import Bbox, BlurBbox, Fps, Legend, MediaWriter, MosaicBbox, Mtcnn, Node, Screen, Visual
from dp2.peekingduck.parse import Named

if TYPE_CHECKING:
    from omegaconf import DictConfig

N = TypeVar("N", bound=Node)
_CONFIG = "face_mosaic"  # MTCNN with PeekingDuck's defaults; boxes are covered with a margin, and gaps are filled
_FINE = 8  # cells a face: with more, people may be recognised
LEGEND_ITEMS = ("fps",)


@dataclass(frozen=True)
class Plan:
    """A pipeline, understood.

    Attributes:
        source: where pictures come from.
        detector: of faces.
        redaction: what comes in their place; None = the originals stay visible.
        boxes, legend, fps: what is drawn.
        screen, writer: where the results go.
        notes: words to be said.
    """

    source: Visual
    detector: Mtcnn
    redaction: MosaicBbox | BlurBbox | None
    boxes: Bbox | None
    legend: Legend | None
    fps: Fps | None
    screen: Screen | None
    writer: MediaWriter | None
    notes: tuple[str, ...] = ()

    def config(self) -> DictConfig:
        """The tree of its anonymizer; see `dp2.config`."""
        from dp2.config import load_config, set_key

        tree = load_config(_CONFIG)
        set_key(tree, "detector.min_size", self.detector.min_size)
        set_key(tree, "detector.thresholds", list(self.detector.network_thresholds))
        set_key(tree, "detector.score_threshold", self.detector.score_threshold)
        set_key(tree, "detector.factor", self.detector.scale_factor)
        if isinstance(self.redaction, MosaicBbox):
            set_key(tree, "synthesizer.fill.level", self.redaction.mosaic_level)
        if isinstance(self.redaction, BlurBbox):
            blur = {"_target_": "dp2.synthesize.fills.Blur", "level": self.redaction.blur_kernel_size}
            set_key(tree, "synthesizer.fill", blur)
        return tree


def make_plan(nodes: Sequence[Named], *, originals: bool = False, redirected: bool = False) -> Plan:
    """Check that nodes make a whole pipeline.

    Args:
        nodes: in order.
        originals: a pipeline that redacts nobody is allowed.
        redirected: results go elsewhere, so that no output node is needed.

    Raises:
        UsageError: a node is missing, stands in the wrong place or twice; or nobody would be anonymized.
    """
    source = _one(nodes, Visual, "input.visual, input.live or input.recorded")
    detector = _one(nodes, Mtcnn, "model.mtcnn")
    if not isinstance(nodes[0].node, Visual):
        raise UsageError(f"{nodes[0].name} stands first; a pipeline begins with its input.")
    if detector.weights_parent_dir is not None:
        raise UsageError("model.mtcnn: weights_parent_dir: dp2 ships MTCNN's weights; leave it out.")
    model = next(index for index, named in enumerate(nodes) if named.node is detector)
    for named in nodes[:model]:
        if named.name.startswith(("draw.", "output.")):
            raise UsageError(f"{named.name} stands before model.mtcnn, which finds the faces for it.")
    mosaic, blur = _maybe(nodes, MosaicBbox), _maybe(nodes, BlurBbox)
    if mosaic and blur:
        raise UsageError("draw.mosaic_bbox and draw.blur_bbox exclude each other; keep one.")
    redaction = mosaic or blur
    if redaction is None and not originals:
        raise UsageError(
            "this pipeline anonymizes nobody: it has neither draw.mosaic_bbox nor draw.blur_bbox. Add one, or say "
            "--show-originals to see the detections only."
        )
    screen, writer = _maybe(nodes, Screen), _maybe(nodes, MediaWriter)
    if not (screen or writer or redirected):
        raise UsageError("this pipeline has no output; add output.screen or output.media_writer, or give -o.")
    fps = _maybe(nodes, Fps)
    return Plan(
        source=source,
        detector=detector,
        redaction=redaction,
        boxes=_maybe(nodes, Bbox),
        legend=_legend(_maybe(nodes, Legend), fps),
        fps=fps,
        screen=screen,
        writer=writer,
        notes=_notes(redaction),
    )


def _one(nodes: Sequence[Named], kind: type[N], what: str) -> N:
    found = _maybe(nodes, kind)
    if found is None:
        raise UsageError(f"this pipeline lacks {what}.")
    return found


def _maybe(nodes: Sequence[Named], kind: type[N]) -> N | None:
    found = [named for named in nodes if isinstance(named.node, kind)]
    if len(found) > 1:
        raise UsageError(f"{found[1].name} stands in the pipeline after {found[0].name}; keep one.")
    return found[0].node if found else None  # type: ignore[return-value]  # it is of that kind


def _legend(legend: Legend | None, fps: Fps | None) -> Legend | None:
    if legend is None:
        return None
    if legend.position not in ("top", "bottom"):
        raise UsageError(f"draw.legend: position {legend.position!r} is neither top nor bottom.")
    if not 0 <= legend.box_opacity <= 1:
        raise UsageError(f"draw.legend: box_opacity {legend.box_opacity} does not lie in 0 to 1.")
    if not (0 < legend.font.size <= 20 and 0 < legend.font.thickness <= 50):
        raise UsageError("draw.legend: font: size must lie in 0 to 20 and thickness in 1 to 50.")
    for item in legend.show:
        if item not in (*LEGEND_ITEMS, "all_legend_items"):
            raise UsageError(f"draw.legend: show: {item} is not known; known are {', '.join(LEGEND_ITEMS)}.")
    if fps is None:
        raise UsageError("draw.legend shows fps, which dabble.fps counts; add that node, or leave out the legend.")
    return legend


def _notes(redaction: MosaicBbox | BlurBbox | None) -> tuple[str, ...]:
    if redaction is None:
        return ("nobody is anonymized: the originals are shown with their detections.",)
    if isinstance(redaction, MosaicBbox) and redaction.mosaic_level > _FINE:
        return (f"mosaic_level {redaction.mosaic_level} is fine; with more than {_FINE} people may be recognised.",)
    return ()
