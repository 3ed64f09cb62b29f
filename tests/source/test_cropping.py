"""What a file cuts off its frames is neither shown nor searched nor written."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from dp2.errors import UnreadableMedia
from dp2.source.video import VideoSource


def scene(width: int = 160, height: int = 120) -> np.ndarray:
    """(height, width, 3) uint8: where a pixel lies shows in its red and green."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], -1).astype(np.uint8)


def clip(clips, name: str, **options: object) -> Path:
    return clips.make(name, 5, pixels=scene(), options={"crf": "1"}, pix_fmt="yuv444p", **options)


def shows(path: Path, x0: int, y0: int, x1: int, y1: int, **options: object) -> bool:
    """Whether every frame is that part of the scene."""
    wanted = scene()[y0:y1, x0:x1].astype(int)
    source = VideoSource(path, **options)
    assert (source.info.width, source.info.height) == (x1 - x0, y1 - y0)
    frames = list(source)
    return len(frames) == 5 and all(
        f.image.shape == wanted.shape and np.abs(f.image.astype(int) - wanted).max() < 12 for f in frames
    )


def with_clap(path: Path, numbers: tuple[int, ...], entry: bytes = b"avc1") -> Path:
    """Add a clean aperture to an MP4 whose index lies behind its pictures."""
    data = bytearray(path.read_bytes())
    box = struct.pack(">I4s8i", 40, b"clap", *numbers)
    start = data.find(entry, data.find(b"stsd")) - 4
    end = start + struct.unpack_from(">I", data, start)[0]
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        at = data.find(kind) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(box))
    struct.pack_into(">I", data, start, end - start + len(box))
    data[end:end] = box
    path.write_bytes(data)
    return path


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Identifier, start and end of the contents of an EBML element."""

    def number(at: int, mask: bool) -> tuple[int, int]:
        octets = 9 - data[at].bit_length()
        value = int.from_bytes(data[at : at + octets], "big")
        return (value & ((1 << 7 * octets) - 1) if mask else value), at + octets

    identifier, at = number(at, False)
    size, at = number(at, True)
    return identifier, at, at + size


def _grown(data: bytes, path: tuple[int, ...], addition: bytes) -> bytes:
    """EBML data with something added at the end of the first element below a path of identifiers."""
    if not path:
        return data + addition
    at, out = 0, b""
    while at < len(data):
        identifier, start, end = _element(data, at)
        if path and identifier == path[0]:
            inner = _grown(data[start:end], path[1:], addition)
            name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
            return out + name + (1 << 56 | len(inner)).to_bytes(8, "big") + inner + data[end:]
        out += data[at:end]
        at = end
    raise AssertionError("no such element")


def with_pixel_crop(path: Path, **edges: int) -> Path:
    names = {"bottom": b"\x54\xaa", "top": b"\x54\xbb", "left": b"\x54\xcc", "right": b"\x54\xdd"}
    added = b"".join(names[edge] + b"\x82" + value.to_bytes(2, "big") for edge, value in edges.items())
    path.write_bytes(_grown(path.read_bytes(), (0x18538067, 0x1654AE6B, 0xAE, 0xE0), added))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_clean_aperture(clips, name: str) -> None:
    # 100x80 pixels, their middle 10 to the right and 6 above that of the frame
    path = with_clap(clip(clips, name), (100, 1, 80, 1, 10, 1, -6, 1))
    assert shows(path, 40, 14, 140, 94)


def test_clean_aperture_in_fractions_shows_whole_pixels_only(clips) -> None:
    path = with_clap(clip(clips, "a.mp4"), (201, 2, 80, 1, 0, 1, 0, 1))  # from 29.75 to 130.25
    assert shows(path, 30, 20, 130, 100)


@pytest.mark.parametrize(
    "numbers",
    [
        (100, 0, 80, 1, 0, 1, 0, 1),
        (-100, 1, 80, 1, 0, 1, 0, 1),
        (100, 1, 80, 1, 90, 1, 0, 1),
        (400, 1, 80, 1, 0, 1, 0, 1),
        (0, 1, 0, 1, 0, 1, 0, 1),
        (2**31 - 1, 1, 80, 1, 0, 1, 0, 1),
    ],
)
def test_clean_aperture_that_lies_outside_is_ignored_with_a_note(clips, numbers: tuple[int, ...]) -> None:
    path = with_clap(clip(clips, "a.mp4"), numbers)
    assert shows(path, 0, 0, 160, 120)
    assert any("crop box" in note for note in VideoSource(path).notes)


def test_cropping_comes_before_turning(clips) -> None:
    path = with_clap(clip(clips, "a.mp4", rotation=90), (100, 1, 80, 1, 10, 1, -6, 1))
    frame = next(iter(VideoSource(path)))
    turned = np.rot90(scene()[14:94, 40:140])
    assert frame.image.shape == turned.shape
    assert np.abs(frame.image.astype(int) - turned).max() < 12


def test_cropped_and_scaled(clips) -> None:
    path = with_clap(clip(clips, "a.mp4"), (100, 1, 80, 1, 10, 1, -6, 1))
    source = VideoSource(path, max_res=50)
    assert (source.info.width, source.info.height) == (50, 40)
    image = next(iter(source)).image
    assert np.abs(image[0, 0].astype(int) - scene()[14, 40]).max() < 15
    assert np.abs(image[-1, -1].astype(int) - scene()[93, 139]).max() < 15


def test_pixel_crop_of_matroska(clips) -> None:
    path = with_pixel_crop(clip(clips, "a.mkv"), left=17, top=8, right=40, bottom=5)
    assert shows(path, 17, 8, 120, 115)


def test_pixel_crop_of_everything_is_refused(clips) -> None:
    with pytest.raises(UnreadableMedia, match="not a video that can be read"):
        VideoSource(with_pixel_crop(clip(clips, "a.mkv"), left=100, right=60))


@pytest.mark.parametrize(
    ("codec", "filters", "padding"), [("libx264", "h264_metadata", 8), ("libx265", "hevc_metadata", 0)]
)
def test_conformance_window_is_exact_to_the_pixel(clips, codec: str, filters: str, padding: int) -> None:
    """Decoders leave up to 31 pixels at the left unless told otherwise."""
    options = {"crf": "1"} if codec == "libx264" else {"x265-params": "log-level=none:crf=1"}
    plain = clips.make("plain.mkv", 5, pixels=scene(), options=options, pix_fmt="yuv444p", codec=codec)
    path = plain.with_name("cropped.mkv")
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        video = source.streams.video[0]
        edges = f"crop_left=10:crop_top=6:crop_right=20:crop_bottom={30 + padding}"
        made = out.add_stream_from_template(video, opaque=True)
        change = BitStreamFilterContext(f"{filters}={edges}", in_stream=video, out_stream=made)
        for packet in source.demux(video):
            for changed in change.filter(packet) if packet.size else []:
                changed.stream = made
                out.mux(changed)
    assert shows(path, 10, 6, 140, 90)


def test_output_holds_only_what_is_shown(clips, tmp_path: Path) -> None:
    from dp2.sink.video import VideoSink

    path = with_clap(clip(clips, "a.mp4"), (100, 1, 80, 1, 10, 1, -6, 1))
    source = VideoSource(path)
    sink = VideoSink(tmp_path / "o.mp4", source.info)
    for frame in source:
        sink.write(frame)
    sink.finish()
    with av.open(str(tmp_path / "o.mp4")) as written:
        frame = next(written.decode(video=0))
        assert (frame.width, frame.height) == (100, 80)
    assert b"clap" not in (tmp_path / "o.mp4").read_bytes()
