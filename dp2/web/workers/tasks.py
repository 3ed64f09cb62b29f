"""What a worker process can do: inspect an upload, find people, anonymize, and a camera live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dp2.errors import UnreadableMedia, UnsupportedMedia

if TYPE_CHECKING:
    from dp2.anonymizer import Anonymizer
    from dp2.choose.clicked import Clicked
    from dp2.result import Result
    from dp2.stages import Chooser
    from dp2.types import Image
    from dp2.web.workers.child import Line

Arguments = Mapping[str, Any]
PREVIEW_SIDE = 1600
_WARM = 2  # anonymizers that are held ready
_TOLERANCE = 1.0  # seconds; times may begin after 0


class Workshop:
    """Holds the anonymizers that were used last, for they are heavy to build.

    Args:
        device: as `--device`; None = as the configs say.
    """

    def __init__(self, device: str | None) -> None:
        self._device = device
        self._warm: dict[str, Anonymizer] = {}
        self._known: tuple[tuple[tuple[str, ...], bool], Chooser | None] | None = None

    def anonymizer(self, name: str) -> Anonymizer:
        """One that comes with dp2, by its name.

        Raises:
            ConfigError: there is none of that name; paths are not names.
            MissingWeights: its checkpoint is not here.
        """
        from dp2.anonymizer import load_anonymizer
        from dp2.config import config_names
        from dp2.errors import ConfigError

        if name not in config_names():
            raise ConfigError(f"there is no anonymizer called {name!r}.")
        built = self._warm.pop(name, None)
        if built is None:
            while len(self._warm) >= _WARM:
                del self._warm[next(iter(self._warm))]
            settings: dict[str, Any] = {} if self._device is None else {"device": self._device}
            built = load_anonymizer(name, **settings)
        self._warm[name] = built
        return built

    def chooser(self, references: Sequence[str], anonymizer: Anonymizer, *, only: bool) -> Chooser | None:
        """Who stays, as of `by_references`; that of the pictures used last is held ready."""
        from dp2.web.workers.references import by_references

        if not references:
            return anonymizer.chooser
        key = tuple(references), only
        if self._known is None or self._known[0] != key:
            self._known = key, by_references([Path(path) for path in references], anonymizer, only=only)
        return self._known[1]

    def forget(self) -> None:
        """After an error nobody foresaw, everything is built anew."""
        self._warm.clear()
        self._known = None


def catalogue(workshop: Workshop, line: Line, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001  (a task)
    """All anonymizers, and what reference faces need."""
    import ast

    from dp2.config import config_names, find_config
    from dp2.web.workers.references import remedy
    from dp2.weights.needs import ready_anonymizers
    from dp2.weights.store import Store

    ready = set(ready_anonymizers(Store().locate))
    rows = []
    for name in config_names():
        text = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
        rows.append({"name": name, "about": (text.splitlines() or [""])[0], "ready": name in ready})
    return {"anonymizers": rows, "remedy": remedy()}


def build(workshop: Workshop, line: Line, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001  (a task)
    """Build an anonymizer, so that the first job does not wait for it."""
    workshop.anonymizer(arguments["anonymizer"])
    return {}


def inspect(workshop: Workshop, line: Line, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001  (a task)
    """What an upload is, told from its content, and a picture of it for the page.

    Raises:
        UnsupportedMedia: neither photo nor video, or beyond the limits.
        UnreadableMedia: damaged.
    """
    from dp2.source.folder import kind_of

    source, limits = Path(arguments["source"]), arguments["limits"]
    kind = kind_of(source)
    if kind == "image":
        return _inspect_photo(source, Path(arguments["preview"]), limits["pixels"])
    if kind in ("video", "animation"):
        return {"kind": kind, **_inspect_video(source, Path(arguments["preview"]), limits, arguments["suffix"])}
    raise UnsupportedMedia(f"{source}: neither a photo nor a video that dp2 reads.")


def _inspect_photo(source: Path, preview: Path, pixels: int) -> dict[str, Any]:
    from dp2.sink.naming import photo_suffix
    from dp2.source.image import read_image

    picture = read_image(source, max_pixels=pixels)
    height, width = picture.image.shape[:2]
    _save_preview(picture.image, preview, picture.icc_profile)
    suffix = photo_suffix(Path("x"), picture.format)
    return {"kind": "image", "width": width, "height": height, "suffix": suffix, "notes": list(picture.notes)}


def _inspect_video(source: Path, preview: Path, limits: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    from dp2.source.open import open_source
    from dp2.source.sniff import image_format, read_head

    stream = open_source(source, max_pixels=limits["pixels"])
    info = stream.info
    if info.duration is None:
        raise UnsupportedMedia(f"{source}: does not say how long it is; convert it to MP4.")
    if info.duration > limits["video_seconds"]:
        raise UnsupportedMedia(
            f"{source}: is {float(info.duration):.0f} s long, {limits['video_seconds']:.0f} s are allowed; cut it."
        )
    frames = iter(stream)
    first = next(frames, None)
    getattr(frames, "close", lambda: None)()
    if first is None:
        raise UnreadableMedia(f"{source}: holds no frame.")
    _save_preview(first.image, preview, None)
    moving = {"GIF": ".gif", "WEBP": ".webp"}.get(image_format(read_head(source)) or "")
    return {
        "width": info.width,
        "height": info.height,
        "seconds": round(float(info.duration), 3),
        "frames": info.frames,
        "suffix": moving or (suffix if suffix == ".webm" else ".mp4"),  # what browsers play
        "notes": list(stream.notes),
    }


def detect(workshop: Workshop, line: Line, arguments: Arguments) -> dict[str, Any]:
    """Find people; they are stored for `anonymize`, and shown as frames with boxes."""
    from dp2.detections.stored import DetectionWriter
    from dp2.web.workers.gallery import Gallery

    anonymizer = workshop.anonymizer(arguments["anonymizer"])
    source = Path(arguments["source"])
    gallery = Gallery(Path(arguments["folder"]), video=arguments["kind"] != "image")
    with Path(arguments["detections"]).open("w", encoding="utf-8") as file:
        writer = DetectionWriter(file)

        def seen(result: Result, total: int | None) -> None:
            _check_end(result, arguments)
            writer.write(str(source), result.frame, result.detections)
            gallery.add(result)
            line.say("progress", done=result.frame.index + 1, total=total)

        if arguments["kind"] == "image":
            from dp2.source.image import read_image

            picture = read_image(source, max_pixels=arguments["pixels"])
            seen(anonymizer.anonymize_picture(picture.image, picture.alpha, synthesize=False)[0], 1)
        else:
            from dp2.source.open import open_source

            stream = open_source(source, max_pixels=arguments["pixels"])
            with closing(anonymizer.process(stream, synthesize=False)) as results:
                for result in results:
                    seen(result, stream.info.frames)
    return {"people": gallery.finish()}


def anonymize(workshop: Workshop, line: Line, arguments: Arguments) -> dict[str, Any]:
    """Anonymize a file; people who were clicked, or are known by reference faces, stay."""
    from dp2.batch.files import Options, anonymize_image, anonymize_video
    from dp2.detections.stored import StoredDetections

    anonymizer = workshop.anonymizer(arguments["anonymizer"])
    anonymizer = replace(anonymizer, chooser=_chooser(workshop, arguments, anonymizer))
    stored = None if arguments["detections"] is None else StoredDetections(Path(arguments["detections"]))
    photo = arguments["kind"] == "image"
    options = Options(
        overwrite=True,
        keep_metadata=arguments["keep_metadata"],
        keep_audio=arguments["keep_audio"],
        max_pixels=arguments["pixels"],
        detections=stored,
        track=stored is None,  # stored boxes already hold what tracking added
    )

    def report(result: Result, total: int | None) -> None:
        _check_end(result, arguments)
        line.say("progress", done=result.frame.index + 1, total=total)

    act = anonymize_image if photo else anonymize_video
    try:
        done = act(anonymizer, Path(arguments["source"]), Path(arguments["target"]), options, report)
    finally:
        if stored is not None:
            stored.close()
    if photo:
        from dp2.source.image import read_image

        written = read_image(done.target, max_pixels=arguments["pixels"])
        _save_preview(written.image, Path(arguments["preview"]), written.icc_profile)
    return {"summary": done.summary.as_dict(), "said": str(done.summary), "notes": list(done.notes)}


def live(workshop: Workshop, line: Line, arguments: Arguments) -> dict[str, Any]:
    """Anonymize a camera's pictures, JPEG in and out, until it ends; each comes back before the next is needed."""
    from dp2.web.workers.camera import answers

    anonymizer = workshop.anonymizer(arguments["anonymizer"])
    anonymizer = replace(anonymizer, chooser=_chooser(workshop, arguments, anonymizer))
    line.say("ready")
    count = 0
    for encoded, people in answers(anonymizer, line.frame, arguments["pixels"]):
        line.say("frame", data=encoded, people=people)
        count += 1
    return {"frames": count}


def _chooser(workshop: Workshop, arguments: Arguments, anonymizer: Anonymizer) -> Chooser | None:
    """Who stays: those that were clicked, those that reference faces show, and whom the config keeps anyway."""
    references = [path for path, _ in arguments["references"]]
    others = workshop.chooser(references, anonymizer, only=arguments["only"])
    return _clicked(arguments["keep"], others) if arguments["keep"] else others


def _clicked(keep: list[str], others: Chooser | None) -> Clicked:
    """From the ids of `dp2.web.workers.gallery`."""
    from dp2.choose.clicked import Clicked
    from dp2.web.workers.gallery import parse_id

    rows: set[tuple[str, int]] = set()
    tracks: set[tuple[str, int]] = set()
    for text in keep:
        kind, number, tracked = parse_id(text)
        (tracks if tracked else rows).add((kind, number))
    return Clicked(rows=frozenset(rows), tracks=frozenset(tracks), others=others)


def _check_end(result: Result, arguments: Arguments) -> None:
    """Containers may say that they are short and go on."""
    if result.frame.time > arguments["seconds"] + _TOLERANCE:
        raise UnsupportedMedia(
            f"{arguments['source']}: goes on after the {arguments['seconds']:.0f} s that are allowed; cut it."
        )


def _save_preview(image: Image, path: Path, profile: bytes | None) -> None:
    """A JPEG that every browser shows."""
    import numpy as np
    from PIL import Image as Pil

    from dp2.batch.files import fit

    picture = Pil.fromarray(np.ascontiguousarray(fit(image, PREVIEW_SIDE)))
    picture.save(path, "JPEG", quality=90, **({} if profile is None else {"icc_profile": profile}))


TASKS: Mapping[str, Callable[[Workshop, Line, Arguments], dict[str, Any]]] = {
    task.__name__: task for task in (catalogue, build, inspect, detect, anonymize, live)
}
