from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageCms

from dp2.errors import OutputError, UsageError
from dp2.sink.image import write_image
from dp2.sink.naming import PHOTO_FORMATS
from dp2.source.image import read_image
from dp2.source.profile import rebuilt_profile
from dp2.types import Picture

SUFFIXES = sorted(PHOTO_FORMATS)
LOSSLESS = {".png", ".bmp", ".tif", ".tiff", ".dib"}
TELLING = [".jpg", ".png", ".tif", ".webp", ".avif", ".heic"]
MARKS = (b"QQ1", b"QQ2", b"QQ3", b"QQ4", b"QQ5")


def error(picture: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(picture.astype(int) - truth).mean())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_written_and_read_back(tmp_path: Path, scene: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, scene)
    picture = read_image(path)
    assert picture.format == PHOTO_FORMATS[suffix]
    assert error(picture.image, scene) <= (0 if suffix in LOSSLESS else 5 if suffix == ".gif" else 1.5)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_lossless_photos_stay_so(tmp_path: Path, scene: np.ndarray, suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", scene, like=Picture(scene, format="PNG"))
    assert np.array_equal(read_image(tmp_path / f"a{suffix}").image, scene)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif", ".heic"])
def test_alpha_is_kept(tmp_path: Path, scene: np.ndarray, suffix: str) -> None:
    alpha = scene[..., 1]
    notes = write_image(tmp_path / f"a{suffix}", scene, like=Picture(scene, alpha))
    picture = read_image(tmp_path / f"a{suffix}")
    assert picture.alpha is not None
    assert error(picture.alpha, alpha) <= (0 if suffix in (".png", ".tif", ".webp") else 1.5)
    assert notes == ()


def test_colours_under_full_transparency_are_those_that_were_given(tmp_path: Path, scene: np.ndarray) -> None:
    """A format that swaps them for others could swap the original's back in."""
    for suffix in (".png", ".tif", ".webp"):
        write_image(tmp_path / f"a{suffix}", scene, like=Picture(scene, np.zeros(scene.shape[:2], np.uint8)))
        assert np.array_equal(read_image(tmp_path / f"a{suffix}").image, scene)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_transparency_becomes_white_where_there_is_none_and_is_said(
    tmp_path: Path, scene: np.ndarray, suffix: str
) -> None:
    alpha = np.full(scene.shape[:2], 255, np.uint8)
    assert write_image(tmp_path / f"opaque{suffix}", scene, like=Picture(scene, alpha)) == ()
    alpha[:, :64] = 0
    notes = write_image(tmp_path / f"a{suffix}", scene, like=Picture(scene, alpha))
    assert "no transparency" in notes[0]
    picture = read_image(tmp_path / f"a{suffix}").image
    assert error(picture[:, :56], np.array(255)) < 1
    assert error(picture[:, 72:], scene[:, 72:]) < 1.5


def test_alpha_follows_a_smaller_picture(tmp_path: Path, scene: np.ndarray) -> None:
    small = np.ascontiguousarray(scene[::2, ::2])
    write_image(tmp_path / "a.png", small, like=Picture(scene, np.full(scene.shape[:2], 7, np.uint8)))
    alpha = read_image(tmp_path / "a.png").alpha
    assert alpha is not None
    assert alpha.shape == (48, 64)
    assert (alpha == 7).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".heic"])
def test_colour_profile_is_kept(tmp_path: Path, scene: np.ndarray, suffix: str) -> None:
    profile = rebuilt_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert profile is not None
    write_image(tmp_path / f"a{suffix}", scene, like=Picture(scene, icc_profile=profile))
    assert read_image(tmp_path / f"a{suffix}").icc_profile == profile


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_grey_stays_grey_unless_colour_was_painted(tmp_path: Path, scene: np.ndarray, suffix: str) -> None:
    grey = np.repeat(scene[..., :1], 3, axis=2)
    like = Picture(grey, mode="L")
    write_image(tmp_path / f"grey{suffix}", grey, like=like)
    assert read_image(tmp_path / f"grey{suffix}").mode == "L"
    painted = grey.copy()
    painted[20:60, 20:60] = (255, 0, 0)
    write_image(tmp_path / f"painted{suffix}", painted, like=like)
    picture = read_image(tmp_path / f"painted{suffix}")
    assert picture.mode == "RGB"
    assert error(picture.image, painted) < 2


@pytest.mark.parametrize("suffix", TELLING)
@pytest.mark.parametrize("source", TELLING)
def test_nothing_of_the_metadata_comes_out(
    tmp_path: Path, telling_photo: Callable[[str], Path], source: str, suffix: str
) -> None:
    photo = telling_photo(source)
    held = photo.read_bytes()
    assert b"QQ1" in held
    assert b"QQ3" in held or source in (".tif", ".avif")  # which Pillow writes without thumbnail
    picture = read_image(photo)
    write_image(tmp_path / f"out{suffix}", picture.image, like=picture)
    written = (tmp_path / f"out{suffix}").read_bytes()
    assert not [mark for mark in MARKS if mark in written]
    with Image.open(tmp_path / f"out{suffix}") as reopened:
        tags = reopened.getexif()
        assert not tags.get_ifd(ExifTags.IFD.GPSInfo)
        assert not tags.get_ifd(ExifTags.IFD.Exif)
        assert ExifTags.Base.Make not in tags
        assert not {"xmp", "XML:com.adobe.xmp", "comment", "photoshop"} & {k for k, v in reopened.info.items() if v}


@pytest.mark.parametrize("suffix", TELLING)
@pytest.mark.parametrize("source", TELLING)
def test_metadata_on_request_without_thumbnail_and_maker_note(
    tmp_path: Path, telling_photo: Callable[[str], Path], source: str, suffix: str
) -> None:
    picture = read_image(telling_photo(source))
    out = tmp_path / f"out{suffix}"
    write_image(out, picture.image, like=picture, keep_metadata=True)
    written = out.read_bytes()
    assert b"QQ2" not in written
    assert b"QQ3" not in written
    kept = read_image(out).metadata
    assert kept.exif is not None
    assert b"QQ1" in kept.exif
    assert kept.xmp is not None
    assert b"QQ4" in kept.xmp
    with Image.open(out) as reopened:
        position = reopened.getexif().get_ifd(ExifTags.IFD.GPSInfo)
        assert position[ExifTags.GPS.GPSLatitude] == (63.0, 26.0, 1.0)
        assert reopened.getexif().get(ExifTags.Base.Orientation, 1) == 1


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_comments_on_request(tmp_path: Path, telling_photo: Callable[[str], Path], suffix: str) -> None:
    picture = read_image(telling_photo(suffix))
    write_image(tmp_path / f"out{suffix}", picture.image, like=picture, keep_metadata=True)
    assert b"CommentQQ5" in (tmp_path / f"out{suffix}").read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("keep", [False, True])
def test_turned_photo_is_written_upright(
    tmp_path: Path, scene: np.ndarray, exif: Callable[[int], bytes], orientation: int, keep: bool
) -> None:
    Image.fromarray(scene).save(tmp_path / "a.jpg", exif=exif(orientation), quality=95)
    picture = read_image(tmp_path / "a.jpg")
    write_image(tmp_path / "out.jpg", picture.image, like=picture, keep_metadata=keep)
    assert error(read_image(tmp_path / "out.jpg").image, picture.image) < 1


def test_lost_metadata_is_said_only_when_it_was_wanted(tmp_path: Path, scene: np.ndarray) -> None:
    picture = Picture(scene)
    picture = replace(picture, metadata=replace(picture.metadata, lost=("xmp",)))
    assert write_image(tmp_path / "a.png", scene, like=picture) == ()
    assert "xmp" in write_image(tmp_path / "b.png", scene, like=picture, keep_metadata=True)[0]


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [60, 85, 100])
def test_jpeg_of_a_jpeg_changes_less_than_at_quality_95(
    tmp_path: Path, astronaut: np.ndarray, subsampling: int, quality: int
) -> None:
    Image.fromarray(astronaut[:256, 128:384]).save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
    picture = read_image(tmp_path / "a.jpg")
    write_image(tmp_path / "as_source.jpg", picture.image, like=picture)
    write_image(tmp_path / "at_95.jpg", picture.image, like=picture, quality=95)
    as_source, at_95 = (
        error(read_image(tmp_path / f"{name}.jpg").image, picture.image) for name in ("as_source", "at_95")
    )
    assert as_source < at_95


def test_turned_half_width_chroma_is_not_written_as_half_width(
    tmp_path: Path, astronaut: np.ndarray, exif: Callable[[int], bytes]
) -> None:
    Image.fromarray(astronaut).save(tmp_path / "a.jpg", subsampling=1, exif=exif(6))
    coding = read_image(tmp_path / "a.jpg").jpeg
    assert coding is not None
    assert coding.subsampling == 0


@pytest.mark.parametrize("chroma", [420, 444])
def test_heic_keeps_the_resolution_of_its_colour(tmp_path: Path, astronaut: np.ndarray, chroma: int) -> None:
    pillow_heif.register_heif_opener()
    Image.fromarray(astronaut).save(tmp_path / "a.heic", quality=95, chroma=chroma)
    picture = read_image(tmp_path / "a.heic")
    write_image(tmp_path / "b.heic", picture.image, like=picture)
    with Image.open(tmp_path / "b.heic") as written:
        assert written.info["chroma"] == chroma
    assert error(read_image(tmp_path / "b.heic").image, picture.image) < 1


def test_heic_is_not_encoded_with_the_slow_preset(tmp_path: Path, astronaut: np.ndarray) -> None:
    """Processor time: other programs of this machine do not count."""
    began = time.process_time()
    write_image(tmp_path / "a.heic", astronaut)
    ours = time.process_time() - began
    began = time.process_time()
    Image.fromarray(astronaut).save(tmp_path / "b.heic", quality=95, chroma=444)
    assert ours < (time.process_time() - began) / 2


def test_quality_is_obeyed(tmp_path: Path, astronaut: np.ndarray) -> None:
    for suffix in (".jpg", ".webp", ".avif", ".heic"):
        sizes = []
        for quality in (20, 60, 97):
            write_image(tmp_path / f"{quality}{suffix}", astronaut[:160, 160:320], quality=quality)
            sizes.append((tmp_path / f"{quality}{suffix}").stat().st_size)
        assert sizes == sorted(sizes)
        assert sizes[0] * 3 < sizes[2]


def test_unknown_ending_names_the_known_ones(tmp_path: Path, scene: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"a\.xyz.*\.jpg.*\.png"):
        write_image(tmp_path / "a.xyz", scene)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_kept_unless_told(tmp_path: Path, scene: np.ndarray) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(OutputError, match="--overwrite"):
        write_image(tmp_path / "a.png", scene)
    assert (tmp_path / "a.png").read_bytes() == b"old"
    write_image(tmp_path / "a.png", scene, overwrite=True)
    assert np.array_equal(read_image(tmp_path / "a.png").image, scene)


@pytest.mark.parametrize(("suffix", "longest"), [(".jpg", 65_500), (".webp", 16_383)])
def test_picture_too_long_for_its_format(tmp_path: Path, suffix: str, longest: int) -> None:
    with pytest.raises(OutputError, match=f"{longest} pixels a side"):
        write_image(tmp_path / f"a{suffix}", np.zeros((2, longest + 1, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_encoder_that_fails_leaves_nothing(tmp_path: Path, scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("cannot\ndo it")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match=r"a\.png.*cannot do it"):
        write_image(tmp_path / "a.png", scene)
    assert list(tmp_path.iterdir()) == []


FULL = """
import pathlib, resource, sys
import numpy as np
from dp2.errors import OutputError
from dp2.sink.image import write_image
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
try:
    write_image(pathlib.Path(sys.argv[1]), noise)
except OutputError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_full_disk_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / f"a{suffix}")]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 7, run.stderr
    assert "disk is full" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_folder_that_nobody_can_write_to(scene: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="is a file"):
        write_image(tmp_path / "file" / "a.jpg", scene)
    if Path("/proc/self").exists():
        with pytest.raises(OutputError):
            write_image(Path("/proc/a.jpg"), scene)


def test_source_is_not_changed(tmp_path: Path, telling_photo: Callable[[str], Path], scene: np.ndarray) -> None:
    photo = telling_photo(".jpg")
    before = photo.read_bytes()
    picture = read_image(photo)
    write_image(tmp_path / "out.jpg", picture.image, like=picture)
    assert photo.read_bytes() == before


def test_large_picture_is_written(tmp_path: Path) -> None:
    image = np.zeros((10_000, 10_000, 3), np.uint8)
    image[5_000:, 5_000:] = 255
    write_image(tmp_path / "a.jpg", image)
    assert read_image(tmp_path / "a.jpg").image[[0, 9_999], [0, 9_999], 0].tolist() == [0, 255]
