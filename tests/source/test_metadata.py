from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
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


def test_orientation_is_reset_in_exif_and_gone_from_xmp(
    tmp_path: Path, scene: np.ndarray, exif: Callable[[int], bytes], xmp: Callable[..., bytes]
) -> None:
    said = 'dc:source="a"'
    for number, packet in enumerate(
        [xmp(said + ' tiff:Orientation="6"'), xmp(said, "<tiff:Orientation>6</tiff:Orientation>")]
    ):
        Image.fromarray(scene).save(tmp_path / f"{number}.jpg", exif=exif(6), xmp=packet)
        metadata = read_image(tmp_path / f"{number}.jpg").metadata
        assert metadata.exif is not None
        assert opened(metadata.exif)[ExifTags.Base.Orientation] == 1
        assert metadata.xmp is not None
        assert b"6" not in metadata.xmp
        assert metadata.lost == ()


def test_thumbnails_in_xmp_are_cut_out(tmp_path: Path, scene: np.ndarray, xmp: Callable[..., bytes]) -> None:
    hidden = base64.b64encode(b"\xff\xd8\xff" + bytes(600)).decode()
    packet = xmp('dc:source="Words"', f"<xmp:Thumbnails><rdf:Alt><rdf:li>{hidden}</rdf:li></rdf:Alt></xmp:Thumbnails>")
    Image.fromarray(scene).save(tmp_path / "a.jpg", xmp=packet)
    metadata = read_image(tmp_path / "a.jpg").metadata
    assert metadata.xmp is not None
    assert b"Words" in metadata.xmp
    assert b"Thumbnails" not in metadata.xmp
    assert metadata.lost == ()


@pytest.mark.parametrize(
    "hidden",
    [base64.b64encode(b"\xff\xd8\xff" + bytes(30)), base64.b64encode(b"\x89PNG\r\n\x1a\n"), b"QUJD" * 100, b"FFD8FFE0"],
)
def test_other_pictures_in_texts_take_the_text_with_them(
    tmp_path: Path, scene: np.ndarray, xmp: Callable[..., bytes], hidden: bytes
) -> None:
    for number, packet in enumerate([xmp(f'xmpGImg:Data="{hidden.decode()}"'), xmp(f'dc:source="{hidden.decode()}"')]):
        Image.fromarray(scene).save(tmp_path / f"{number}.jpg", xmp=packet, comment=hidden)
        metadata = read_image(tmp_path / f"{number}.jpg").metadata
        assert metadata.xmp is None
        assert metadata.comment is None
        assert metadata.lost == ("xmp", "comment")


def wrapped(data: bytes, line: int = 40) -> str:
    text = base64.b64encode(data).decode()
    return "\n".join(text[at : at + line] for at in range(0, len(text), line))


def photo_inside(kind: str) -> bytes:
    """A small picture, as one may be hidden."""
    pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF", "BMP"])
@pytest.mark.parametrize("line", [8, 40, 76, 10_000])
def test_picture_in_base_64_is_kept_in_no_field(
    tmp_path: Path, scene: np.ndarray, xmp: Callable[..., bytes], kind: str, line: int
) -> None:
    text = wrapped(photo_inside(kind), line)
    tags = Image.Exif()
    tags[ExifTags.Base.Copyright] = text
    tags[ExifTags.Base.ImageDescription] = text
    tags[ExifTags.Base.XPComment] = text.encode("utf-16-le")
    tags[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"ASCII\0\0\0" + text.encode(), ExifTags.Base.LensModel: text}
    tags[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSProcessingMethod: b"ASCII\0\0\0" + text.encode()}
    packet = xmp(
        "", f"<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>{text}</rdf:li></rdf:Alt></dc:description>"
    )
    Image.fromarray(scene).save(tmp_path / "a.jpg", exif=tags, xmp=packet, comment=text)
    metadata = read_image(tmp_path / "a.jpg").metadata
    assert (metadata.exif, metadata.xmp, metadata.comment) == (None, None, None)
    assert metadata.lost == ("exif", "xmp", "comment")
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Description", text)
    chunks.add_itxt("Comment", text)
    Image.fromarray(scene).save(tmp_path / "a.png", pnginfo=chunks)
    metadata = read_image(tmp_path / "a.png").metadata
    assert (metadata.text, metadata.lost) == ((), ("text",))


@pytest.mark.parametrize("content", [bytes(range(256)) * 3, photo_inside("GIF"), photo_inside("HEIF")])
def test_fields_that_are_not_known_and_wrong_types_are_left_out_and_said(
    tmp_path: Path, scene: np.ndarray, content: bytes
) -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = "Maker"
    tags[0xC000] = content
    tags[ExifTags.IFD.Exif] = {
        0xC001: content,
        ExifTags.Base.ISOSpeed: 64,
        ExifTags.Base.ExifVersion: content,
        ExifTags.Base.OECF: content,
    }
    Image.fromarray(scene).save(tmp_path / "a.jpg", exif=tags)
    metadata = read_image(tmp_path / "a.jpg").metadata
    assert metadata.exif is not None
    kept = opened(metadata.exif)
    assert set(kept) == {ExifTags.Base.Make, ExifTags.Base.Orientation, ExifTags.IFD.Exif}
    assert kept.get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.ISOSpeed: 64}
    assert content not in metadata.exif
    assert metadata.lost == ("exif",)


def test_raw_pixels_as_numbers_are_too_many(tmp_path: Path, scene: np.ndarray) -> None:
    tags = Image.Exif()
    tags[ExifTags.IFD.Exif] = {ExifTags.Base.ISOSpeedRatings: tuple(range(300)), ExifTags.Base.FNumber: 2.8}
    Image.fromarray(scene).save(tmp_path / "a.jpg", exif=tags)
    metadata = read_image(tmp_path / "a.jpg").metadata
    assert metadata.exif is not None
    assert set(opened(metadata.exif).get_ifd(ExifTags.IFD.Exif)) == {ExifTags.Base.FNumber}


def test_known_properties_of_xmp_stay_with_their_languages(
    tmp_path: Path, scene: np.ndarray, xmp: Callable[..., bytes]
) -> None:
    packet = xmp(
        'xmp:Rating="4" mine:secret="x"',
        "<dc:title><rdf:Alt><rdf:li xml:lang='fi'>Äidin &amp; isän talo</rdf:li></rdf:Alt></dc:title>"
        "<dc:subject><rdf:Bag><rdf:li>house</rdf:li><rdf:li>summer</rdf:li></rdf:Bag></dc:subject>"
        "<mine:more rdf:parseType='Resource'><mine:deep>dive</mine:deep></mine:more>",
    )
    Image.fromarray(scene).save(tmp_path / "a.jpg", xmp=packet)
    Image.fromarray(scene).save(tmp_path / "b.jpg", xmp=read_image(tmp_path / "a.jpg").metadata.xmp)
    written = read_image(tmp_path / "b.jpg").metadata.xmp
    assert written is not None
    assert b"mine" not in written
    inner = written.decode().partition("<xmp:Rating>")[2].partition("</rdf:Description>")[0]
    assert inner == (
        "4</xmp:Rating>"
        '<dc:title><rdf:Alt><rdf:li xml:lang="fi">Äidin &amp; isän talo</rdf:li></rdf:Alt></dc:title>'
        "<dc:subject><rdf:Bag><rdf:li>house</rdf:li><rdf:li>summer</rdf:li></rdf:Bag></dc:subject>"
    )
    assert read_image(tmp_path / "a.jpg").metadata.lost == ("xmp",)
    assert read_image(tmp_path / "b.jpg").metadata.lost == ()


def test_xmp_with_entities_is_not_read(tmp_path: Path, scene: np.ndarray, xmp: Callable[..., bytes]) -> None:
    laughs = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaaaaaaaa">]>' + xmp('dc:source="&a;"')
    Image.fromarray(scene).save(tmp_path / "a.jpg", xmp=laughs)
    metadata = read_image(tmp_path / "a.jpg").metadata
    assert (metadata.xmp, metadata.lost) == (None, ("xmp",))


def test_case_of_a_jpeg_in_the_copyright(shared_cases: Path) -> None:
    metadata = read_image(shared_cases / "exif_copyright_base64_jpeg.jpg").metadata
    assert metadata.lost == ("exif",)
    assert b"/9j/" not in (metadata.exif or b"")


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
