"""The nodes of PeekingDuck pipelines that dp2 knows, with their options.

Names, options and defaults are those of PeekingDuck 1.1 and 1.2 (`peekingduck/configs/*/*.yml`); an option that was
renamed is known by both names. A node is a frozen dataclass: its fields are the options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dp2.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Size:
    """Width and height in pixels; taken only with `do_resizing`."""

    do_resizing: bool = False
    width: int = 1280
    height: int = 720

    def __post_init__(self) -> None:
        if not (0 < self.width <= 16_384 and 0 < self.height <= 16_384):
            raise UsageError(f"{self.width}x{self.height} is no size of a picture.")


@dataclass(frozen=True, kw_only=True)
class Visual:
    """Where pictures come from.

    Attributes:
        source: a photo, video or folder; a stream's URL; 0, 1, … for a camera.
        filename: of the recording of a camera.
        mirror_image: left becomes right.
        resize: to this size, whatever the aspect.
        frames_log_freq, saved_video_fps, threading, buffering: change nothing here: dp2 shows its progress, keeps the
            times of frames, always reads ahead, and never loses a frame of a file.
    """

    source: int | str | None = None
    filename: str = "video.mp4"
    mirror_image: bool = False
    resize: Size = Size()
    frames_log_freq: int = 100
    saved_video_fps: int = 10
    threading: bool = False
    buffering: bool = False


@dataclass(frozen=True, kw_only=True)
class Live(Visual):
    """A camera."""

    source: int | str | None = 0
    filename: str = "webcamfeed.mp4"


@dataclass(frozen=True, kw_only=True)
class Mtcnn:
    """The face detector."""

    min_size: int = 40
    scale_factor: float = 0.709
    network_thresholds: tuple[float, ...] = (0.6, 0.7, 0.7)
    score_threshold: float = 0.7
    weights_parent_dir: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fps:
    """Counts frames a second.

    Attributes:
        fps_log_display, fps_log_freq: change nothing here: dp2 shows its progress.
        dampen_fps: averaged over ten frames.
    """

    fps_log_display: bool = True
    fps_log_freq: int = 100
    dampen_fps: bool = True


@dataclass(frozen=True, kw_only=True)
class MosaicBbox:
    """Cells in the place of faces: their number along each side."""

    mosaic_level: int = 7


@dataclass(frozen=True, kw_only=True)
class BlurBbox:
    """A blur in the place of faces, in pixels."""

    blur_kernel_size: int = 50


@dataclass(frozen=True, kw_only=True)
class Bbox:
    """Boxes round faces."""

    show_labels: bool = False


@dataclass(frozen=True, kw_only=True)
class Font:
    """Of the legend."""

    size: float = 0.7
    thickness: int = 2


@dataclass(frozen=True, kw_only=True)
class Legend:
    """A box with numbers in a corner; without `show` all that there are."""

    show: tuple[str, ...] = ()
    position: str = "bottom"
    box_opacity: float = 0.3
    font: Font = Font()
    all_legend_items: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Location:
    """Upper left corner on the screen, in pixels."""

    x: int = 0
    y: int = 0


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A window."""

    window_name: str = "PeekingDuck"
    window_size: Size = Size()
    window_loc: Location = Location()


@dataclass(frozen=True, kw_only=True)
class MediaWriter:
    """Files in a folder."""

    output_dir: str = "PeekingDuck/data/output"


Node = Visual | Mtcnn | Fps | MosaicBbox | BlurBbox | Bbox | Legend | Screen | MediaWriter


@dataclass(frozen=True)
class Kind:
    """A node by its name.

    Attributes:
        build: the dataclass.
        renamed: other names of options.
        foreign: options that mean nothing here, and why.
    """

    build: type[Node]
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    foreign: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


_INPUT = {
    "input_source": "source",
    "input_dir": "source",
    "fps_saved_output_video": "saved_video_fps",
    "buffer_frames": "buffering",
}
_MTCNN = {
    "mtcnn_min_size": "min_size",
    "mtcnn_factor": "scale_factor",
    "mtcnn_thresholds": "network_thresholds",
    "mtcnn_score": "score_threshold",
}
_WEIGHTS = "dp2 has MTCNN's weights in PyTorch; leave it out"
KINDS: Mapping[str, Kind] = {
    "input.live": Kind(Live, _INPUT),
    "input.recorded": Kind(Visual, _INPUT),
    "input.visual": Kind(Visual, _INPUT),
    "model.mtcnn": Kind(
        Mtcnn,
        _MTCNN,
        dict.fromkeys(("weights", "model_format", "model_type", "model_nodes", "MODEL_NODES"), _WEIGHTS),
    ),
    "dabble.fps": Kind(Fps),
    "draw.mosaic_bbox": Kind(MosaicBbox),
    "draw.blur_bbox": Kind(BlurBbox, {"blur_level": "blur_kernel_size"}),
    "draw.bbox": Kind(Bbox),
    "draw.legend": Kind(Legend, {"include": "show"}),
    "output.screen": Kind(Screen),
    "output.media_writer": Kind(MediaWriter),
}
