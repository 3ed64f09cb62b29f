"""Real media that every test may use."""

from __future__ import annotations

import importlib.util
import io
import os
import struct
import sys
import types
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings
from PIL import ExifTags, Image, PngImagePlugin

# Some tests import ONNX Runtime themselves; its telemetry stays off there too.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Processes that run tests side by side share the cores; more threads would only wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples in every run: CI judges the change, not the luck.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
# What the metadata of `telling_photo` say, and an anonymized photo must not.
WORDS = {"make": "MakeQQ1", "maker_note": "NoteQQ2", "thumbnail": "ThumbQQ3", "xmp": "XmpQQ4", "comment": "CommentQQ5"}


def packaged(package: str, inner: str) -> Path:
    """A file inside an installed wheel, without importing the package."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / inner


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8 RGB, one face."""
    return np.asarray(Image.open(packaged("skimage", "data/astronaut.png")).convert("RGB"))


@pytest.fixture(scope="session")
def hopper() -> np.ndarray:
    """(600, 512, 3) uint8 RGB, one face."""
    return np.asarray(Image.open(packaged("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")).convert("RGB"))


@pytest.fixture(scope="session")
def pair(astronaut: np.ndarray, hopper: np.ndarray) -> np.ndarray:
    """(300, 600, 3) uint8: the astronaut on the left, Grace Hopper on the right; faces of about 100 pixels."""
    right = cv2.resize(hopper, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(np.hstack([astronaut[:300, 80:380], right[:300, 50:350]]))


@pytest.fixture(scope="session")
def media() -> Path:
    """The project's own pictures."""
    return ROOT / "media"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data; tests that need it are skipped where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not there")
    return folder


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """../shared/cases, small files of many kinds of fault; tests that need them are skipped where they are absent."""
    folder = SHARED / "cases"
    if not folder.is_dir():
        pytest.skip("../shared/cases is not there")
    return folder


class Clips:
    """Makes small videos with PyAV itself, so that what dp2 reads and writes is checked by something else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def frame(self, index: int, width: int = 160, height: int = 120) -> np.ndarray:
        """(height, width, 3) uint8: a moving pattern; the mean grows with the index."""
        y, x = np.mgrid[:height, :width]
        wave = 30 * np.sin((x + 3 * index) / 17) + 30 * np.cos((y - 2 * index) / 13)
        return np.clip(np.stack([wave, -wave, wave * 0.5], -1) + 60 + 2 * index, 0, 255).astype(np.uint8)

    def make(self, name: str, frames=30, *, times=None, base=(1, 30), size=(160, 120), codec="libx264", pixels=None,
             pix_fmt="yuv420p", rotation=None, aspect=None, colour=None, audio=None, tags=False, options=None,
             mux=None) -> Path:  # fmt: skip
        """A clip named `name`; `times` are multiples of `base` seconds, `audio` a codec, `colour` (matrix, range)."""
        import av
        from av.video.reformatter import VideoReformatter

        path = self.folder / name
        times = list(range(frames)) if times is None else times
        with av.open(str(path), "w", options=mux or {}) as container:
            stream = container.add_stream(codec, rate=30, options=options or {})
            context = stream.codec_context
            context.width, context.height, context.pix_fmt = *size, pix_fmt
            context.time_base = stream.time_base = Fraction(*base)
            if aspect:
                context.sample_aspect_ratio = aspect
            if rotation:
                stream.set_display_rotation(rotation)
            matrix, span = colour or (2, 0)
            context.colorspace, context.color_range = matrix, span
            sound = container.add_stream(audio, rate=48000) if audio else None
            if tags:
                self._tag(container, stream)
            convert = VideoReformatter()
            for index, time in enumerate(times):
                image = self.frame(index, *size) if pixels is None else pixels
                made = convert.reformat(
                    av.VideoFrame.from_ndarray(image, "rgb24"), format=pix_fmt, src_color_range=2,
                    dst_colorspace={1: 1}.get(matrix, 5), dst_color_range=span or 1,
                )  # fmt: skip
                made.pts, made.time_base = time, Fraction(*base)
                container.mux(stream.encode(made))
            container.mux(stream.encode(None))
            if sound is not None:
                self._sing(container, sound, times[-1] * Fraction(*base))
        return path

    def _sing(self, container, stream, seconds) -> None:
        import av

        for block in range(int(seconds * 48000 / 1024)):
            phase = np.arange(block * 1024, (block + 1) * 1024) / 48000
            wave = (0.3 * np.sin(2 * np.pi * (440 + block) * phase)).astype(np.float32)
            made = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
            made.sample_rate, made.pts, made.time_base = 48000, block * 1024, Fraction(1, 48000)
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))

    def _tag(self, container, stream) -> None:
        container.metadata.update({"title": "Anna", "comment": "at home", "location": "+60.1+024.9/"})
        container.metadata["creation_time"] = "2020-01-02T03:04:05Z"
        stream.metadata.update({"timecode": "01:00:00:00", "handler_name": "Anna's phone", "language": "fin"})
        container.set_chapters([
            {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "Kitchen"}}
        ])  # fmt: skip


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    """A maker of small videos in the test's folder."""
    folder = tmp_path / "clips"
    folder.mkdir()
    return Clips(folder)


@pytest.fixture(scope="session")
def scene() -> np.ndarray:
    """(96, 128, 3) uint8 RGB, smooth, no two quarters alike."""
    y, x = np.mgrid[:96, :128]
    return np.dstack([x * 1.9, y * 2.6, (x + y) * 0.8]).astype(np.uint8)


@pytest.fixture(scope="session")
def exif() -> Callable[[int], bytes]:
    """EXIF with maker, maker note, GPS position, an orientation and a thumbnail."""

    def build(orientation: int) -> bytes:
        tags = Image.Exif()
        tags[ExifTags.Base.Make] = WORDS["make"]
        tags[ExifTags.Base.Orientation] = orientation
        tags[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: WORDS["maker_note"].encode(), ExifTags.Base.ISOSpeed: 64}
        tags[ExifTags.IFD.GPSInfo] = {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (63.0, 26.0, 1.0),
        }
        return _with_thumbnail(tags.tobytes())

    return build


@pytest.fixture
def telling_photo(tmp_path: Path, scene: np.ndarray, exif: Callable[[int], bytes]) -> Callable[[str], Path]:
    """A photo of the given suffix whose metadata holds all of `WORDS`, as far as the format can."""

    def build(suffix: str) -> Path:
        path = tmp_path / f"telling{suffix}"
        words = xmp(f'tiff:Orientation="1" dc:source="{WORDS["xmp"]}"')
        kind = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WEBP", ".avif": "AVIF", ".heic": "HEIF"}[
            suffix
        ]
        options: dict[str, object] = {"exif": exif(1), "xmp": words}
        if kind == "JPEG":
            options["comment"] = WORDS["comment"].encode()
        if kind == "PNG":
            del options["xmp"]
            chunks = PngImagePlugin.PngInfo()
            chunks.add_text("Comment", WORDS["comment"])
            chunks.add_itxt("XML:com.adobe.xmp", words.decode())
            options["pnginfo"] = chunks
        if kind == "TIFF":
            tags = Image.Exif()
            tags.load(exif(1))
            tags[700] = words
            options = {"exif": tags}
        if kind == "HEIF":
            import pillow_heif

            pillow_heif.register_heif_opener()
        Image.fromarray(scene).save(path, kind, **options)
        return path

    return build


def xmp(attributes: str = "", elements: str = "") -> bytes:
    """An XMP packet of one description."""
    spaces = {
        "dc": "http://purl.org/dc/elements/1.1/",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
        "mine": "http://example.org/mine/",
    }
    declared = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in spaces.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {declared} {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


@pytest.fixture(scope="session", name="xmp")
def xmp_maker() -> Callable[..., bytes]:
    """Makes XMP packets of one description with these attributes and elements."""
    return xmp


def _with_thumbnail(exif: bytes) -> bytes:
    """Append a second directory with a JPEG, as cameras do (Exif 2.3, 4.5.2)."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(buffer, "JPEG", comment=WORDS["thumbnail"].encode())
    jpeg, tiff = buffer.getvalue(), bytearray(exif[6:])
    order = "<" if tiff[:2] == b"II" else ">"
    first = struct.unpack_from(order + "I", tiff, 4)[0]
    link = first + 2 + 12 * struct.unpack_from(order + "H", tiff, first)[0]
    second = len(tiff) + len(tiff) % 2
    tiff += bytes(second - len(tiff))
    struct.pack_into(order + "I", tiff, link, second)
    data = second + 2 + 3 * 12 + 4
    entry = order + "HHII"
    tiff += struct.pack(order + "H", 3)
    tiff += struct.pack(order + "HHIHH", 0x0103, 3, 1, 6, 0)
    tiff += struct.pack(entry, 0x0201, 4, 1, data) + struct.pack(entry, 0x0202, 4, 1, len(jpeg)) + bytes(4)
    return exif[:6] + bytes(tiff) + jpeg


@pytest.fixture(scope="session")
def jpeg_bytes(scene: np.ndarray) -> bytes:
    """A baseline JPEG of `scene`."""
    buffer = io.BytesIO()
    Image.fromarray(scene).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


class EasyDict(dict):  # type: ignore[type-arg]
    """The class of the package easydict as pickles name it. It is not installed, so reading must do without."""


EasyDict.__module__ = "easydict"


def _publish(folder: Path, name: str, state: Mapping[str, Any], centers: Any = None) -> Path:
    """Write `folder/name` as DeepPrivacy2 publishes: the averaged generator, a training state of a foreign class."""
    import torch

    layout: dict[str, Any] = {"EMA_generator": dict(state), "generator": {"other": torch.zeros(1)}}
    if name == "fdf_deep_privacy1.ckpt":  # nested as its predecessor wrote it
        layout = {"running_average_generator": {"parameters": dict(state)}}
    if centers is not None:
        layout["w_centers"] = centers
    layout["train_state"] = EasyDict(next_log_step=5, total_time=2.5)
    module = types.ModuleType("easydict")
    module.EasyDict = EasyDict  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "easydict", module)
        torch.save(layout, folder / name)
    return folder / name


@pytest.fixture(scope="session")
def publish() -> Callable[..., Path]:
    """`publish(folder, file name, state, centers=None)` writes a checkpoint in the published layout."""
    return _publish
