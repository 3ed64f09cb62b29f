"""The command line's way to a folder of frames: what decides the result, and which options have no meaning there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dp2.cli.inputs import Request
from dp2.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from dp2.batch.frame_folder import FolderOptions

# What says how and where to compute, not what: processes that differ in it share a folder.
_FREE = {"device", "batch_size"}
_NOT_HERE = (
    *(("start", "--start-time"), ("end", "--end-time"), ("fps", "--fps"), ("max_res", "--max-res")),
    *(("keep_audio", "--keep-audio"), ("codec", "--codec"), ("crf", "--crf"), ("preset", "--preset")),
    *(("ffmpeg_config", "--ffmpeg-config"), ("salvage", "--salvage"), ("keep_metadata", "--keep-metadata")),
    *(("cache", "--cache"), ("detections", "--detections"), ("save_detections", "--save-detections")),
    *(("legend", "--legend"), ("overwrite", "--overwrite")),
)


def check_frame_options(options: Mapping[str, Any]) -> None:
    """Raise `UsageError` for options that have no meaning for a folder of frames."""
    given = [shown for name, shown in _NOT_HERE if options[name] not in (None, False)]
    if isinstance(options["quality"], int):
        given.append("--quality NUMBER")
    if given:
        raise UsageError(
            f"{', '.join(given)}: not for a folder of frames; see `dp2 frames split` and `dp2 frames join`. "
            "To do frames again, delete their results."
        )


def folder_options(request: Request, options: Mapping[str, Any]) -> FolderOptions:
    """How a folder of frames is anonymized.

    Raises:
        ConfigError: the config or an override is wrong.
    """
    from dp2.batch.files import plain
    from dp2.batch.frame_folder import FolderOptions
    from dp2.cli.config_tree import config_tree
    from dp2.cli.view import Overlay

    track = options["track"] is not False
    # A fast and an accurate pass may meet in one folder, so what they differ in does not count.
    tree = config_tree(request, {**options, "quality": None})
    settings = {
        **_decisive(tree),
        "config": request.config.removesuffix(".py"),
        "track": str(track),
        "--visualize-detection": str(options["detections_only"]),
        "--draw-scores": str(options["draw_scores"]),
    }
    view: Any = plain
    if options["detections_only"] or options["draw_scores"]:
        view = Overlay(everything=options["detections_only"], scores=options["draw_scores"])
    return FolderOptions(
        settings=settings,
        search=options["quality"] or "only",
        track=track,
        synthesize=not options["detections_only"],
        view=view,
        debug=Overlay(everything=True) if options["debug"] else None,
    )


def _decisive(tree: DictConfig) -> dict[str, str]:
    """Every value of the anonymizer by its path, as text; and the version, since another may compute otherwise."""
    from omegaconf import OmegaConf

    from dp2 import __version__

    resolved = OmegaConf.to_container(tree.anonymizer, resolve=True) if "anonymizer" in tree else {}
    return {"dp2": __version__, **dict(_flat(resolved, ""))}


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, child in value.items():
            if key not in _FREE:
                yield from _flat(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, default=str)
