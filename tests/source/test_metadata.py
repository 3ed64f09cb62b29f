from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from dp2.source.image import read_image


def opened(exif: bytes) -> Image.Exif:
    tags = Image.Exif()
    tags.load(exif)
    return tags


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".heic"])
def test_words_and_places_are_read_but_no_thumbnail_and_no_maker_note(
    telling_photo: Callable[[str], Path], suffix: str
) -> None:
    metadata = read_image(telling_photo(suffix)).metadata
    assert metadata.lost == ()
    assert metadata.exif is not None
    tags = opened(metadata.exif)
    assert tags[ExifTags.Base.Make] == "MakeQQ1"
    assert tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (63.0, 26.0, 1.0)
    assert tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeed] == 64
    assert b"ThumbQQ3" not in metadata.exif
    assert b"NoteQQ2" not in metadata.exif
    assert b"\xff\xd8\xff" not in metadata.exif
    assert metadata.xmp is not None
    assert b"XmpQQ4" in metadata.xmp


def test_orientation_is_reset_in_exif_and_xmp(tmp_path: Path, scene: np.ndarray, exif: Callable[[int], bytes]) -> None:
    for number, xmp in enumerate([b'<a tiff:Orientation="6"/>', b"<a><tiff:Orientation>6</tiff:Orientation></a>"]):
        Image.fromarray(scene).save(tmp_path / f"{number}.jpg", exif=exif(6), xmp=xmp)
        metadata = read_image(tmp_path / f"{number}.jpg").metadata
        assert metadata.exif is not None
        assert opened(metadata.exif)[ExifTags.Base.Orientation] == 1
        assert metadata.xmp is not None
        assert b"6" not in metadata.xmp


def test_thumbnails_in_xmp_are_cut_out(tmp_path: Path, scene: np.ndarray) -> None:
    hidden = base64.b64encode(b"\xff\xd8\xff" + bytes(600))
    xmp = b"<a>Words<xmp:Thumbnails><b>" + hidden + b"</b></xmp:Thumbnails>more</a>"
    Image.fromarray(scene).save(tmp_path / "a.jpg", xmp=xmp)
    assert read_image(tmp_path / "a.jpg").metadata.xmp == b"<a>Wordsmore</a>"


@pytest.mark.parametrize(
    "hidden",
    [base64.b64encode(b"\xff\xd8\xff" + bytes(30)), base64.b64encode(b"\x89PNG\r\n\x1a\n"), b"QUJD" * 100, b"FFD8FFE0"],
)
def test_other_pictures_in_texts_take_the_text_with_them(tmp_path: Path, scene: np.ndarray, hidden: bytes) -> None:
    Image.fromarray(scene).save(tmp_path / "a.jpg", xmp=b'<a GImage:Data="' + hidden + b'"/>', comment=hidden)
    metadata = read_image(tmp_path / "a.jpg").metadata
    assert metadata.xmp is None
    assert metadata.comment is None
    assert metadata.lost == ("xmp", "comment")


def test_xmp_in_utf_16_is_not_trusted(tmp_path: Path, scene: np.ndarray) -> None:
    Image.fromarray(scene).save(tmp_path / "a.jpg", xmp="<a>words</a>".encode("utf-16"))
    assert read_image(tmp_path / "a.jpg").metadata.lost == ("xmp",)


def test_picture_in_an_exif_comment_takes_the_exif_with_it(tmp_path: Path, scene: np.ndarray) -> None:
    tags = Image.Exif()
    tags[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"\xff\xd8\xff\xe0" + bytes(20)}
    Image.fromarray(scene).save(tmp_path / "a.jpg", exif=tags)
    metadata = read_image(tmp_path / "a.jpg").metadata
    assert metadata.exif is None
    assert metadata.lost == ("exif",)


def test_texts_of_png_without_profiles_in_hexadecimal(tmp_path: Path, scene: np.ndarray) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Author", "Someone")
    chunks.add_text("Raw profile type APP1", "\nAPP1\n 8\n0011223344556677\n", zip=True)
    Image.fromarray(scene).save(tmp_path / "a.png", pnginfo=chunks)
    assert read_image(tmp_path / "a.png").metadata.text == (("Author", "Someone"),)


def test_photo_without_metadata_has_none(tmp_path: Path, scene: np.ndarray) -> None:
    Image.fromarray(scene).save(tmp_path / "a.jpg")
    metadata = read_image(tmp_path / "a.jpg").metadata
    assert (metadata.exif, metadata.xmp, metadata.comment, metadata.text, metadata.lost) == (None, None, None, (), ())
