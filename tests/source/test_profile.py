from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from dp2.sink.image import write_image
from dp2.source.image import read_image
from dp2.source.profile import rebuilt_profile, to_srgb

KEPT = {"desc", "cprt", "wtpt", "rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC", "kTRC", "chad", "cicp"}
D50 = struct.pack(">3i", 63190, 65536, 54061)
# Adobe RGB's primaries, adapted to D50
ADOBE = {
    "wtpt": b"XYZ \0\0\0\0" + D50,
    "rXYZ": b"XYZ \0\0\0\0" + struct.pack(">3i", 39961, 20389, 1277),
    "gXYZ": b"XYZ \0\0\0\0" + struct.pack(">3i", 13450, 41002, 3990),
    "bXYZ": b"XYZ \0\0\0\0" + struct.pack(">3i", 9779, 4145, 48794),
}
GAMMA = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563)
TABLE = b"curv\0\0\0\0" + struct.pack(">I256H", 256, *(round(65535 * (i / 255) ** 1.8) for i in range(256)))
PICTURE = b"\xff\xd8\xff\xe0SECRET" + bytes(range(256)) * 20


def profile(tags: Mapping[str, bytes], *, version: int = 2, space: bytes = b"RGB ", pcs: bytes = b"XYZ ") -> bytes:
    """An ICC profile whose header tells more than it must."""
    described = {"desc": b"desc\0\0\0\0" + struct.pack(">I", 14) + b"SECRET serial\0" + bytes(78)}
    described["cprt"] = b"text\0\0\0\0SECRET rights\0"
    table, body = b"", b""
    everything = described | dict(tags)
    for name, data in everything.items():
        table += name.encode() + struct.pack(">II", 132 + 12 * len(everything) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sBxH4s4s4s", 132 + len(table) + len(body), b"SECR", version, 0, b"mntr", space, pcs)
    head += struct.pack(">6H", 2024, 5, 17, 13, 14, 15) + b"acspSECRSECRSECRSECR" + bytes(4) + bytes(4) + D50
    return head.ljust(128, b"S") + struct.pack(">I", len(everything)) + table + body


def names(data: bytes) -> set[str]:
    count = int.from_bytes(data[128:132], "big")
    return {data[132 + 12 * i : 136 + 12 * i].decode() for i in range(count)}


def curves(curve: bytes) -> dict[str, bytes]:
    return dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve)


def colours() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


def difference(first: Image.Image, second: Image.Image) -> int:
    return int(np.abs(np.asarray(first, np.int16) - np.asarray(second, np.int16)).max())


@pytest.mark.parametrize("curve", [GAMMA, TABLE, b"curv" + bytes(8)])
@pytest.mark.parametrize("version", [2, 4])
def test_only_colour_stays_and_colours_do_not_change(curve: bytes, version: int) -> None:
    before = profile(ADOBE | curves(curve) | {"priv": PICTURE, "dmnd": PICTURE, "vcgt": PICTURE}, version=version)
    after = rebuilt_profile(before)
    assert after is not None
    assert names(after) <= KEPT
    assert b"SECR" not in after
    assert struct.pack(">6H", 2024, 5, 17, 13, 14, 15) not in after
    assert difference(to_srgb(colours(), before), to_srgb(colours(), after)) == 0


def test_nothing_between_and_behind_the_tags() -> None:
    before = profile(ADOBE | curves(GAMMA)) + PICTURE
    after = rebuilt_profile(before)
    assert after is not None
    assert len(after) < 600


def test_rebuilding_twice_changes_nothing_more() -> None:
    once = rebuilt_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert once is not None
    assert rebuilt_profile(once) == once


def test_well_known_name_stays_and_any_other_goes() -> None:
    srgb = rebuilt_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    other = rebuilt_profile(profile(ADOBE | curves(GAMMA)))
    assert srgb is not None
    assert other is not None
    said = [
        ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(made))).strip() for made in (srgb, other)
    ]
    assert said == ["sRGB built-in", "colour profile"]


def test_grey_profile(tmp_path: Path) -> None:
    before = profile({"wtpt": ADOBE["wtpt"], "kTRC": TABLE, "priv": PICTURE}, space=b"GRAY")
    after = rebuilt_profile(before)
    assert after is not None
    assert names(after) == {"desc", "cprt", "wtpt", "kTRC"}
    grey = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    assert difference(to_srgb(grey, before), to_srgb(grey, after)) == 0
    grey.save(tmp_path / "a.png", icc_profile=before)
    picture = read_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png", picture.image, like=picture)
    assert b"SECR" not in (tmp_path / "b.png").read_bytes()
    assert read_image(tmp_path / "b.png").icc_profile == after


@pytest.mark.parametrize(
    "unsafe",
    [
        curves(b"curv\0\0\0\0" + struct.pack(">I256H", 256, *range(255, -1, -1))),  # falls: could be a picture
        curves(b"curv\0\0\0\0" + struct.pack(">I9000H", 9000, *range(9000))),
        curves(GAMMA) | {"rXYZ": b"XYZ \0\0\0\0" + b"\x7f" * 12},
        {},
    ],
)
def test_what_could_be_a_picture_is_not_rebuilt(unsafe: Mapping[str, bytes]) -> None:
    assert rebuilt_profile(profile(ADOBE | dict(unsafe))) is None


@pytest.mark.parametrize("content", [b"", b"no profile", bytes(128), bytes(4000), profile(ADOBE | curves(TABLE))[:300]])
def test_damaged_profile_is_not_rebuilt(content: bytes) -> None:
    assert rebuilt_profile(content) is None


def test_profile_of_tables_is_applied_instead_of_kept(tmp_path: Path) -> None:
    """Its table exchanges red and blue; colours are converted to what a viewer shows."""
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = bytes(range(256))
    lab = {0b000: (0, 128, 128), 0b111: (255, 128, 128), 0b100: (82, 207, 20), 0b001: (138, 208, 198)}
    grid = b"".join(bytes(lab.get(n, (128, 128, 128))) for n in range(8))
    table = b"mft1\0\0\0\0" + bytes([3, 3, 2, 0]) + identity + ramp * 3 + grid + ramp * 3
    before = profile(ADOBE | curves(GAMMA) | {"A2B0": table, "priv": PICTURE}, pcs=b"Lab ")
    assert rebuilt_profile(before) is None
    source = Image.new("RGB", (16, 16), (255, 0, 0))
    source.save(tmp_path / "a.png", icc_profile=before)
    picture = read_image(tmp_path / "a.png")
    assert picture.icc_profile is None
    assert "sRGB" in picture.notes[0]
    assert np.array_equal(picture.image, np.asarray(to_srgb(source, before)))
    assert picture.image[0, 0, 2] > picture.image[0, 0, 0] + 100  # blue now, as shown


def test_jpeg_with_a_thumbnail_in_its_profile(tmp_path: Path, shared_cases: Path) -> None:
    path = shared_cases / "icc_private_tag_holds_jpeg.jpg"
    with Image.open(path) as opened:
        before = opened.info["icc_profile"]
    picture = read_image(path)
    write_image(tmp_path / "out.jpg", picture.image, like=picture)
    with Image.open(tmp_path / "out.jpg") as opened:
        after = opened.info["icc_profile"]
    assert names(after) < names(before)
    assert names(after) <= KEPT
    assert difference(to_srgb(colours(), before), to_srgb(colours(), after)) <= 1
