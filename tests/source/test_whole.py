"""Sizes in headers are claims: any is read without an error of its own, and what ends too early is noticed."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from dp2.errors import Dp2Error, UnreadableMedia
from dp2.source.cropping import container_crop
from dp2.source.video import VideoSource
from dp2.source.whole import is_cut_off

LARGE = 2**64 - 1


def box(kind: bytes, contents: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(contents) if size is None else size, kind) + contents


def large_box(kind: bytes, size: int, contents: bytes = b"") -> bytes:
    return struct.pack(">I4sQ", 1, kind, size) + contents


@pytest.mark.parametrize(
    ("tail", "cut"),
    [
        (large_box(b"free", LARGE), True),
        (large_box(b"free", 2**63), True),
        (large_box(b"free", 2**63 - 1), True),
        (large_box(b"free", 20, b"abcd"), False),
        (large_box(b"free", 15), False),
        (large_box(b"free", 0), False),
        (box(b"free", size=2**32 - 1), True),
        (box(b"free", size=0), False),
        (box(b"free", size=7), False),
        (bytes(100), False),
        (b"\0\0\0\x10fr", True),
        (b"\0\0\0", False),
    ],
)
def test_box_behind_the_last(clips, tail: bytes, cut: bool) -> None:
    path = clips.make("a.mp4", 5)
    assert not is_cut_off(path)
    path.write_bytes(path.read_bytes() + tail)
    assert is_cut_off(path) is cut
    if cut:
        with pytest.raises(UnreadableMedia, match="ends in frame"):
            list(VideoSource(path))
    else:
        assert len(list(VideoSource(path))) == 5


def test_shared_box_of_64_bits(shared_cases: Path) -> None:
    with pytest.raises(UnreadableMedia, match="ends in frame"):
        list(VideoSource(shared_cases / "v_box64.mp4"))


@pytest.mark.parametrize(
    "data",
    [
        box(b"ftyp", b"isom") + box(b"free") * 300_000,
        bytes.fromhex("1a45dfa3 80") + bytes.fromhex("ec80") * 1_000_000,
        bytes.fromhex("1a45dfa3 01fffffffffffffe"),
        bytes.fromhex("1a45dfa3 80 18538067 01fffffffffffffe 1654ae6b 01fffffffffffffe ae 01fffffffffffffe e0 84 54bb"),
        bytes.fromhex("1a45dfa3 80 18538067 ff 1654ae6b ff ae ff e0 ff 54bb ff"),
        b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xff",
        b"".join(box(kind, size=2**31) for kind in (b"ftyp", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")),
    ],
)
def test_headers_that_lie_take_no_time_and_give_one_line(tmp_path: Path, data: bytes) -> None:
    began = time.monotonic()
    for suffix in (".mp4", ".mkv"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(data)
        assert is_cut_off(path) in (True, False)
        for kind in ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"):
            crop = container_crop(path, kind, 0, 1, (64, 48))
            assert crop is None or crop.fits(64, 48)
        with pytest.raises(UnreadableMedia, match="Nothing was written"):
            VideoSource(path)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.webm", "a.mov", "a.flv"])
def test_damaged_headers_give_one_line(clips, name: str) -> None:
    """Bytes anywhere before and after the pictures are replaced: a result or an error of ours, never another."""
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = clips.make(name, 8, codec=codec, audio="libopus" if name == "a.webm" else "aac")
    whole = path.read_bytes()
    random = np.random.default_rng(len(name))
    outcomes = {True: 0, False: 0}
    for turn in range(40):
        data = bytearray(whole)
        area = 1500 if turn % 2 else len(data)
        for at in random.integers(0, area, random.integers(1, 6)):
            place = int(at) if turn % 4 else len(data) - 1 - int(at) % len(data)
            data[place % len(data)] = int(random.choice([0, 1, 127, 128, 255, int(random.integers(256))]))
        path.write_bytes(data)
        try:
            for frame in VideoSource(path):
                assert frame.image.ndim == 3
            outcomes[True] += 1
        except Dp2Error as error:
            outcomes[False] += 1
            words = str(error)
        else:
            words = str(path)
        assert str(path) in words
    assert outcomes[False] > 0
