from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from dp2.errors import UnreadableMedia
from dp2.source.image import read_image

pillow_heif.register_heif_opener()

KINDS = ["AVIF", "HEIF"]


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def clap(width: int, height: int, right: float = 0, down: float = 0) -> bytes:
    """A clean aperture; its centre lies that far from the picture's, in steps of half a pixel."""
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, round(2 * right), 2, round(2 * down), 2))


def irot(quarters: int) -> bytes:
    """Turned anti-clockwise."""
    return box(b"irot", bytes([quarters]))


def imir(axis: int) -> bytes:
    """0: top and bottom change places; 1: left and right."""
    return box(b"imir", bytes([axis]))


def with_properties(data: bytes, *added: bytes) -> bytes:
    """The file with these transformative, essential properties of its first item, in this order.

    For files of one picture as Pillow and pillow_heif write them: all offsets point behind `meta`.
    """
    out = bytearray(data)
    spots = {kind: data.index(kind) - 4 for kind in (b"meta", b"iprp", b"ipco", b"ipma", b"iloc")}
    known, at, end = 0, spots[b"ipco"] + 8, spots[b"ipco"] + _length(data, spots[b"ipco"])
    while at < end:
        known, at = known + 1, at + _length(data, at)
    grown = sum(map(len, added)) + len(added)
    _move_data(out, spots[b"iloc"], grown)
    # From the back, so that the places in front stay.
    ipma = spots[b"ipma"]
    last = ipma + _length(data, ipma) if data.count(b"Exif\0\0") == 0 else ipma + 19 + data[ipma + 18]
    out[last:last] = bytes(0x80 | known + 1 + number for number in range(len(added)))
    out[ipma + 18] += len(added)
    out[end:end] = b"".join(added)
    for kind, more in ((b"ipma", len(added)), (b"ipco", grown - len(added)), (b"iprp", grown), (b"meta", grown)):
        place = spots[kind] + (grown - len(added) if kind == b"ipma" else 0)
        out[place : place + 4] = struct.pack(">I", _length(out, place) + more)
    return bytes(out)


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _move_data(out: bytearray, iloc: int, by: int) -> None:
    """Item locations of version 0 or 1 with offsets of 4 bytes, lengths of 4 and a base of 0 or 4 bytes."""
    version, (sizes, base) = out[iloc + 8], (out[iloc + 12], out[iloc + 13] >> 4)
    if sizes != 0x44 or base not in (0, 4):
        raise ValueError("another layout of iloc")
    at = iloc + 16
    for _ in range(int.from_bytes(out[iloc + 14 : iloc + 16], "big")):
        at += (6 if version else 4) + base
        extents = int.from_bytes(out[at : at + 2], "big")
        at += 2
        for _ in range(extents):
            out[at : at + 4] = struct.pack(">I", _length(out, at) + by)
            at += 8


def stored(scene: np.ndarray, kind: str, *added: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene).save(buffer, kind, quality=95)
    return with_properties(buffer.getvalue(), *added)


def shown(tmp_path: Path, data: bytes) -> np.ndarray:
    (tmp_path / "a").write_bytes(data)
    return read_image(tmp_path / "a").image


def error(picture: np.ndarray, truth: np.ndarray) -> float:
    assert picture.shape == truth.shape
    return float(np.abs(picture.astype(int) - truth).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_clean_aperture_is_read(tmp_path: Path, scene: np.ndarray, kind: str) -> None:
    """From (24, 30) to (84, 70): its centre is (54, 50), that of the picture (64, 48)."""
    assert scene.shape == (96, 128, 3)
    picture = shown(tmp_path, stored(scene, kind, clap(60, 40, -10, 2)))
    assert error(picture, scene[30:70, 24:84]) < 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_cropped_first_then_turned_then_mirrored(
    tmp_path: Path, scene: np.ndarray, kind: str, quarters: int, axis: int | None
) -> None:
    added = [clap(60, 40, -10, 2), irot(quarters), *([] if axis is None else [imir(axis)])]
    truth = np.rot90(scene[30:70, 24:84], quarters)
    if axis is not None:
        truth = np.flip(truth, axis)
    assert error(shown(tmp_path, stored(scene, kind, *added)), truth) < 2


def test_odd_edges_between_chroma_samples(tmp_path: Path, scene: np.ndarray) -> None:
    picture = shown(tmp_path, stored(scene, "AVIF", clap(51, 33, -0.5, 1.5)))
    assert error(picture, scene[33:66, 38:89]) < 2


def test_aperture_that_reaches_beyond_the_picture_ends_with_it(tmp_path: Path, scene: np.ndarray) -> None:
    picture = shown(tmp_path, stored(scene, "AVIF", clap(100, 40, 40, 0)))
    assert error(picture, scene[28:68, 54:]) < 2


def test_aperture_of_the_whole_picture_changes_nothing(tmp_path: Path, scene: np.ndarray) -> None:
    assert shown(tmp_path, stored(scene, "AVIF", clap(128, 96))).shape == scene.shape


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(clap(20, 20, 500, 0), "outside"), (box(b"clap", bytes(32)), "damaged"), (box(b"clap", bytes(9)), "damaged")],
)
def test_aperture_that_means_nothing_is_refused(tmp_path: Path, scene: np.ndarray, wrong: bytes, said: str) -> None:
    (tmp_path / "a.avif").write_bytes(stored(scene, "AVIF", wrong))
    with pytest.raises(UnreadableMedia, match=rf"a\.avif.*{said}"):
        read_image(tmp_path / "a.avif")


def test_sequence_is_cropped_by_its_track(tmp_path: Path, scene: np.ndarray) -> None:
    """Of a file of brand `avis` the track is shown; its sample entry holds the aperture."""
    buffer = io.BytesIO()
    first = Image.fromarray(scene)
    first.save(buffer, "AVIF", save_all=True, append_images=[Image.fromarray(255 - scene)], quality=95)
    data = bytearray(buffer.getvalue())
    added = clap(60, 40, -10, 2)
    entry = data.index(b"av01", data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    data[end:end] = added
    at = entry
    for kind in (b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        place = data.rindex(kind, 0, entry if kind == b"stsd" else at) - 4
        data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") + len(added)).to_bytes(4, "big")
        at = place + 4
    data[entry : entry + 4] = (int.from_bytes(data[entry : entry + 4], "big") + len(added)).to_bytes(4, "big")
    offsets = data.index(b"stco") + 4
    assert int.from_bytes(data[offsets + 4 : offsets + 8], "big") == 1
    place = offsets + 8
    data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") + len(added)).to_bytes(4, "big")
    assert error(shown(tmp_path, bytes(data)), scene[30:70, 24:84]) < 2
