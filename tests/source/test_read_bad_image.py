from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.errors import MediaError, UnreadableMedia, UnsupportedMedia
from dp2.source.image import read_image


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(path: Path, **options: int) -> str:
    """The message of the error, which is one line and names the file."""
    with pytest.raises(MediaError) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"Dear reader, this is no picture.", "not a picture"),
        (b"\xff\xd8\xff", "cut off"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"II*\0", "damaged"),
        (b"GIF89a", "damaged"),
        (b"RIFF\0\0\0\0WEBP", "damaged"),
        (b"\0\0\0\x18ftypavif", "damaged"),
        (b"\0\0\0\x18ftypheic", "damaged"),
    ],
)
def test_no_picture_inside(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert said in refusal(path)


def test_missing_file_folder_and_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert "no such file" in refusal(tmp_path / "missing.jpg")
    assert "is a folder" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "file" / "a.jpg")


def test_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert "regular file" in refusal(tmp_path / "a.jpg")


def test_file_that_may_not_be_read(tmp_path: Path, jpeg_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # tests run as root, whom no mode stops
    assert "permissions" in refusal(tmp_path / "a.jpg")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("cut", [2, 3, 40, 0.5, 0.9])
def test_jpeg_cut_off_anywhere(tmp_path: Path, scene: np.ndarray, options: dict[str, object], cut: float) -> None:
    whole = encoded(Image.fromarray(scene), "JPEG", **options)
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) - int(cut if cut > 1 else cut * len(whole))])
    refusal(tmp_path / "a.jpg")


def test_jpeg_whose_end_is_zeros_as_after_an_interrupted_copy(tmp_path: Path, jpeg_bytes: bytes) -> None:
    half = len(jpeg_bytes) // 2
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes[:half] + bytes(half))
    assert "cut off" in refusal(tmp_path / "a.jpg")


def test_end_marker_of_the_thumbnail_does_not_count(tmp_path: Path, telling_photo: object) -> None:
    whole = telling_photo(".jpg").read_bytes()  # type: ignore[operator]
    assert whole.count(b"\xff\xd9") >= 2
    (tmp_path / "a.jpg").write_bytes(whole[:-1000] + bytes(1000))
    assert "cut off" in refusal(tmp_path / "a.jpg")


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path: Path, jpeg_bytes: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes + b"trailer" * 50)
    assert read_image(tmp_path / "a.jpg").image.shape == (96, 128, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"])
def test_other_formats_cut_in_the_middle(tmp_path: Path, scene: np.ndarray, kind: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    whole = encoded(Image.fromarray(scene), kind)
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    refusal(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"])
def test_too_many_pixels_are_refused_by_an_option_that_is_named(tmp_path: Path, scene: np.ndarray, kind: str) -> None:
    (tmp_path / "a").write_bytes(encoded(Image.fromarray(scene), kind))
    with pytest.raises(UnsupportedMedia, match="--max-pixels"):
        read_image(tmp_path / "a", max_pixels=128 * 96 - 1)
    assert read_image(tmp_path / "a", max_pixels=128 * 96).image.shape == (96, 128, 3)


def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """50,000 x 50,000 pixels in a few hundred bytes, under a limit of memory that decoding would burst."""
    bomb = bytearray(encoded(Image.new("L", (8, 8)), "BMP"))
    bomb[18:26] = (50_000).to_bytes(4, "little") * 2
    (tmp_path / "bomb.bmp").write_bytes(bomb)
    script = (
        "import resource, sys, pathlib\n"
        "from dp2.source.image import read_image\n"
        "from dp2.errors import UnsupportedMedia\n"
        "held = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 2**28,) * 2)\n"
        "try: read_image(pathlib.Path(sys.argv[1]))\n"
        "except UnsupportedMedia: sys.exit(7)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path / "bomb.bmp")], check=False)
    assert run.returncode == 7


def test_limit_of_the_process_is_left_alone(tmp_path: Path, scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # a caller's own, for his own files
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(scene), "PNG"))
    assert read_image(tmp_path / "a.png").image.shape == (96, 128, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_camera_raw_is_not_mistaken_for_its_preview(tmp_path: Path, scene: np.ndarray) -> None:
    (tmp_path / "a.NEF").write_bytes(encoded(Image.fromarray(scene), "TIFF"))
    with pytest.raises(UnsupportedMedia, match="develop"):
        read_image(tmp_path / "a.NEF")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_does_not_lose_the_photo(tmp_path: Path, scene: np.ndarray) -> None:
    broken = b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x87\x69\0\x04\0\0\0\x01\xff\xff\xff\xff\x01\x12"
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(scene), "JPEG", exif=broken))
    picture = read_image(tmp_path / "a.jpg")
    assert picture.image.shape == scene.shape
    assert picture.metadata.exif is None


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_read_or_refused_but_never_anything_else(
    tmp_path: Path, scene: np.ndarray, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kind = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"][seed % 7]
    damaged = bytearray(encoded(Image.fromarray(scene[:24, :32]), kind))
    for at in rng.integers(12, len(damaged), 6):
        damaged[at] = rng.integers(256)
    (tmp_path / "a").write_bytes(damaged)
    try:
        outcome = read_image(tmp_path / "a", max_pixels=10**6).image.dtype.name
    except (UnreadableMedia, UnsupportedMedia) as error:
        outcome = str(error)
    assert outcome == "uint8" or (str(tmp_path) in outcome and "\n" not in outcome)


def with_more_scans(jpeg: bytes, count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    last, end = jpeg.rindex(b"\xff\xda"), len(jpeg) - 2
    return jpeg[:end] + jpeg[last:end] * count + jpeg[end:]


def test_small_jpeg_of_many_passes_over_many_pixels_is_refused_at_once(tmp_path: Path) -> None:
    large = encoded(Image.new("RGB", (5000, 4000), (90, 120, 30)), "JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(with_more_scans(large, 150))
    assert "160 passes" in refusal(tmp_path / "a.jpg")
    small = encoded(Image.new("RGB", (500, 400), (90, 120, 30)), "JPEG", progressive=True)
    (tmp_path / "b.jpg").write_bytes(with_more_scans(small, 150))
    assert read_image(tmp_path / "b.jpg").image.shape == (400, 500, 3)


def test_png_of_17000_pixels_square_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">II", 17_000, 17_000) + bytes([8, 2, 0, 0, 0])
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = struct.pack(">I", 4) + b"IDAT" + bytes(8)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    assert "--max-pixels" in refusal(tmp_path / "a.png")
