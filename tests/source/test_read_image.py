from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from dp2.errors import UnsupportedMedia
from dp2.source.image import read_image
from dp2.source.profile import rebuilt_profile

pillow_heif.register_heif_opener()

UPRIGHT = {  # how a camera stores an upright picture for each EXIF orientation
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def error(picture: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(picture.astype(int) - truth).mean())


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 1.5),
        ("JPEG", {"progressive": True, "quality": 95}, 1.5),
        ("PNG", {}, 0),
        ("WEBP", {"quality": 95}, 1.5),
        ("WEBP", {"lossless": True}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "jpeg"}, 1.5),
        ("BMP", {}, 0),
        ("GIF", {}, 8),
        ("AVIF", {}, 1.5),
        ("HEIF", {}, 1.5),
    ],
)
def test_every_format_is_read_whatever_its_name(
    tmp_path: Path, scene: np.ndarray, kind: str, options: dict[str, object], tolerance: float
) -> None:
    path = tmp_path / "named.wrong"
    Image.fromarray(scene).save(path, kind, **options)
    picture = read_image(path)
    assert picture.format == kind
    assert picture.lossless == (tolerance == 0 or kind == "GIF")
    assert error(picture.image, scene) <= tolerance
    assert picture.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_orientation_comes_out_upright(
    tmp_path: Path, scene: np.ndarray, exif: Callable[[int], bytes], kind: str, orientation: int
) -> None:
    path = tmp_path / "turned"
    # HEIF turns by a property of its own, which the writer makes of the EXIF orientation.
    stored = UPRIGHT[orientation](scene)
    Image.fromarray(np.ascontiguousarray(stored)).save(path, kind, exif=exif(orientation), quality=95)
    picture = read_image(path)
    assert picture.image.shape == scene.shape
    assert error(picture.image, scene) < 1.5


@pytest.mark.parametrize("orientation", [3, 6])
def test_alpha_and_deep_grey_are_turned_too(
    tmp_path: Path, scene: np.ndarray, exif: Callable[[int], bytes], orientation: int
) -> None:
    alpha = scene[..., 1]
    stored = UPRIGHT[orientation](np.dstack([scene, alpha]))
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif(orientation))
    deep = UPRIGHT[orientation](alpha.astype(np.uint16) * 257)
    Image.fromarray(np.ascontiguousarray(deep)).save(tmp_path / "d.png", exif=exif(orientation))
    turned = read_image(tmp_path / "a.png").alpha
    assert turned is not None
    assert np.array_equal(turned, alpha)
    assert np.array_equal(read_image(tmp_path / "d.png").image[..., 0], alpha)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_modes_look_as_before(tmp_path: Path, scene: np.ndarray, mode: str) -> None:
    source = Image.fromarray(scene).convert(mode)
    source.save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert picture.mode == mode
    assert np.array_equal(picture.image, np.asarray(source.convert("RGB")))
    assert (picture.alpha is not None) == mode.endswith("A")


def test_transparent_palette_entry_becomes_alpha(tmp_path: Path, scene: np.ndarray) -> None:
    source = Image.fromarray(scene).quantize(16)
    source.save(tmp_path / "a.png", transparency=3)
    picture = read_image(tmp_path / "a.png")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, np.asarray(source) == 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled_and_said(tmp_path: Path, scene: np.ndarray, suffix: str) -> None:
    deep = scene[..., 0].astype(np.uint16) * 257 + 100
    Image.fromarray(np.minimum(deep, 65535)).save(tmp_path / f"a{suffix}")
    picture = read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(picture.image[..., 1], scene[..., 0])
    assert picture.bit_depth == 16
    assert picture.grey
    assert picture.notes == ("16 bits per pixel became 8 bits.",)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour_is_reduced_and_said(tmp_path: Path, scene: np.ndarray, suffix: str, channels: int) -> None:
    deep = np.dstack([scene, scene[..., 0]])[..., :channels].astype(np.uint16) * 257
    order = [2, 1, 0, 3][:channels]
    cv2.imwrite(str(tmp_path / f"a{suffix}"), np.ascontiguousarray(deep[..., order]))
    picture = read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(picture.image, scene)
    assert (picture.alpha is not None) == (channels == 4)
    assert picture.notes == ("16 bits per channel became 8 bits.",)


def test_ten_bit_heic_is_reduced_and_said(tmp_path: Path, scene: np.ndarray) -> None:
    deep = np.ascontiguousarray(scene.astype(np.uint16) * 257)
    pillow_heif.encode("RGB;16", (128, 96), deep.tobytes(), tmp_path / "a.heic", quality=95)
    picture = read_image(tmp_path / "a.heic")
    assert error(picture.image, scene) < 2
    assert picture.bit_depth > 8
    assert picture.notes == (f"{picture.bit_depth} bits per channel became 8 bits.",)


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_grey_heic_is_reduced_and_said(
    tmp_path: Path, scene: np.ndarray, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    deep = np.ascontiguousarray(scene[..., 0].astype(np.uint16) * 257)
    pillow_heif.encode("I;16", (128, 96), deep.tobytes(), tmp_path / "a.heic", quality=100)
    picture = read_image(tmp_path / "a.heic")
    assert error(picture.image[..., 1], scene[..., 0]) < 1
    assert picture.bit_depth == bits
    assert picture.grey
    assert picture.notes == (f"{bits} bits per pixel became 8 bits.",)


def test_case_of_a_grey_heif_of_ten_bits(shared_cases: Path) -> None:
    picture = read_image(shared_cases / "monochrome_10bit.heif")
    assert picture.image.shape == (100, 29, 3)
    assert picture.image.min() == 0
    assert picture.image.max() == 255


def test_deep_tiff_in_which_zero_is_white(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.array([[0, 65535]], np.uint16)).save(path, tiffinfo={262: 0})
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 262, 3, 1))
    data[at + 8] = 0
    path.write_bytes(data)
    assert read_image(path).image[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_big_endian_bigtiff(tmp_path: Path, scene: np.ndarray, deep: bool, packed: bool) -> None:
    pixels = (scene.astype(">u2") * 257 if deep else scene).tobytes()
    half = len(pixels) // 2
    strips = [zlib.compress(part) if packed else part for part in (pixels[:half], pixels[half:])]
    data = b"".join(strips)
    after = 16 + len(data)  # behind the header of 16 bytes: pixels, values of more than 8 bytes, directory
    places = struct.pack(">2Q", 16, 16 + len(strips[0]))
    lengths = struct.pack(">2Q", *map(len, strips))
    tags = [
        (256, 16, 1, struct.pack(">Q", 128)),
        (257, 3, 1, struct.pack(">H", 96)),
        (258, 3, 3, struct.pack(">3H", *[16 if deep else 8] * 3)),
        (259, 3, 1, struct.pack(">H", 8 if packed else 1)),
        (262, 3, 1, struct.pack(">H", 2)),
        (273, 16, 2, struct.pack(">Q", after)),
        (277, 3, 1, struct.pack(">H", 3)),
        (278, 4, 1, struct.pack(">I", 48)),
        (279, 16, 2, struct.pack(">Q", after + 16)),
    ]
    directory = struct.pack(">Q", len(tags)) + b"".join(
        struct.pack(">HHQ", tag, kind, count) + value.ljust(8, b"\0") for tag, kind, count, value in tags
    )
    head = b"MM\0\x2b" + struct.pack(">HHQ", 8, 0, after + 32)
    (tmp_path / "a.tif").write_bytes(head + data + places + lengths + directory + bytes(8))
    assert np.array_equal(read_image(tmp_path / "a.tif").image, scene)


def test_floating_point_in_range_is_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").image[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("values", [[0, 7.5], [0, float("nan")]])
def test_floating_point_out_of_range_is_refused(tmp_path: Path, values: list[float]) -> None:
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UnsupportedMedia, match=r"a\.tif.*8 or 16 bits"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_without_profile(tmp_path: Path, scene: np.ndarray, suffix: str) -> None:
    Image.fromarray(scene).convert("CMYK").save(tmp_path / f"a{suffix}", quality=95)
    picture = read_image(tmp_path / f"a{suffix}")
    assert error(picture.image, scene) < 2
    assert "by formula" in picture.notes[0]


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_goes_through_its_profile_to_srgb(tmp_path: Path, suffix: str) -> None:
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    ink.save(tmp_path / f"a{suffix}", icc_profile=profile_in_which_cyan_prints_red(), quality=100)
    picture = read_image(tmp_path / f"a{suffix}")
    red, green, blue = picture.image[8, 8].tolist()
    assert red > green + 50
    assert red > blue + 50
    assert picture.icc_profile is None
    assert picture.notes == ("CMYK colours became sRGB.",)


def test_rgb_profile_is_kept_and_one_that_does_not_fit_is_not(tmp_path: Path, scene: np.ndarray) -> None:
    fitting = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(scene).save(tmp_path / "a.jpg", icc_profile=fitting)
    Image.fromarray(scene).save(tmp_path / "b.jpg", icc_profile=profile_in_which_cyan_prints_red())
    Image.fromarray(scene).save(tmp_path / "c.jpg", icc_profile=b"no profile at all")
    assert read_image(tmp_path / "a.jpg").icc_profile == rebuilt_profile(fitting) is not None
    for name in ("b.jpg", "c.jpg"):
        picture = read_image(tmp_path / name)
        assert picture.icc_profile is None
        assert "profile" in picture.notes[0]


def test_further_pages_are_left_out_and_said(tmp_path: Path, scene: np.ndarray) -> None:
    first, second = Image.fromarray(scene), Image.fromarray(255 - scene)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second], quality=95)
    for name in ("a.tif", "a.mpo"):
        picture = read_image(tmp_path / name)
        assert error(picture.image, scene) < 2
        assert picture.notes == (
            "1 further frame or page was left out; only the first picture was anonymized and written.",
        )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"])
def test_one_pixel(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (1, 1), (250, 10, 30)).save(tmp_path / "a", kind)
    assert error(read_image(tmp_path / "a").image, np.array([[[250, 10, 30]]])) < 8


def test_ten_thousand_pixels_square(tmp_path: Path) -> None:
    large = np.zeros((10_000, 10_000), np.uint8)
    large[5_000:, 5_000:] = 255
    buffer = io.BytesIO()
    Image.fromarray(large).save(buffer, "PNG", compress_level=1)
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    picture = read_image(tmp_path / "a.png")
    assert picture.image.shape == (10_000, 10_000, 3)
    assert picture.image[4_999, 9_999].tolist() == [0, 0, 0]
    assert picture.image[5_000, 5_000].tolist() == [255, 255, 255]


def profile_in_which_cyan_prints_red() -> bytes:
    """A CMYK output profile of two grid points an ink (ICC.1:2001, 6.5.9 lut8Type)."""
    white, red, black = (255, 128, 128), (130, 200, 170), (0, 128, 128)
    grid = b"".join(bytes(white if n == 0 else red if n == 0b1000 else black) for n in range(16))
    ramp, identity = bytes(range(256)), struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
        b"wtpt": b"XYZ " + bytes(4) + d50,
        b"A2B0": b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + grid + ramp * 3,
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(padded))
        body += padded
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    return (head + bytes(12) + b"acsp" + bytes(28) + d50).ljust(128, b"\0") + table + body
