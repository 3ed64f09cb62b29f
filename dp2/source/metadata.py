"""Takes from a photo file what may be written again: known fields that hold words, dates and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from PIL import ExifTags, Image

from dp2.source.words import are_words
from dp2.source.xmp import rebuilt_xmp
from dp2.types import Metadata

_HEADER = b"Exif\0\0"
_LINE, _PARAGRAPH = 200, 2000  # letters
_CODE = 64
_MOST_NUMBERS = 4  # a lens has four, a latitude three
_CHARACTER_CODE = 8  # bytes in front of EXIF's free texts (4.6.5 of Exif 2.3): ASCII, UNICODE or nothing

_Clean = Callable[[Any], Any]  # the value as it may be written; None if it is not what the field is for
_Part = tuple[Any, bool]  # what is kept, and whether anything was left out

# PNG (third edition), 11.3.3.1
_KEYWORDS = {
    "Author", "Comment", "Copyright", "Creation Time", "Description", "Disclaimer", "Software", "Source", "Title",
    "Warning",
}  # fmt: skip


def read_metadata(picture: Image.Image) -> Metadata:
    """The metadata of a loaded picture, rebuilt from known fields with sane types and lengths.

    Anything in which a picture is or could be hidden is left out: thumbnails, previews, maker notes, embedded files,
    fields that are not known, texts that nobody could read. Where more went than the places for previews and maker
    notes, and where something could not be read, `Metadata.lost` names the part.
    """
    parts: dict[str, Any] = {}
    lost = []
    for name, read in (("exif", _exif), ("xmp", _xmp), ("comment", _comment), ("text", _text)):
        try:
            parts[name], incomplete = read(picture)
        except Exception:  # damaged metadata raises nearly anything in Pillow, and never is a reason to lose a photo
            incomplete = True
        lost += [name] if incomplete else []
    return Metadata(**parts, lost=tuple(lost))


def _text_of(most: int) -> _Clean:
    def clean(value: Any) -> str | None:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(text, str):
            return None
        text = text.rstrip("\0 ")
        return text if are_words(text, most) else None

    return clean


def _wide_text(value: Any) -> bytes | None:
    """Of Windows: UTF-16."""
    raw = bytes(value) if isinstance(value, (bytes, tuple)) else b""
    text = raw.decode("utf-16-le").rstrip("\0")
    return text.encode("utf-16-le") + b"\0\0" if text and are_words(text, _PARAGRAPH) else None


def _coded_text(value: Any) -> bytes | None:
    if not isinstance(value, bytes):
        return None
    code, raw = value[:_CHARACTER_CODE], value[_CHARACTER_CODE:]
    if code == b"UNICODE\0":
        texts = [raw.decode(order, "replace") for order in ("utf-16-be", "utf-16-le")]
    elif code in (b"ASCII\0\0\0", bytes(_CHARACTER_CODE)):
        texts = [raw.decode("utf-8", "replace")]
    else:
        return None
    for text in (text.rstrip("\0 ") for text in texts):
        if are_words(text, _PARAGRAPH):
            plain = text.isascii()
            return b"ASCII\0\0\0" + text.encode() if plain else b"UNICODE\0" + text.encode("utf-16-be")
    return None


def _numbers(value: Any) -> Any:
    numbers = value if isinstance(value, tuple) else (value,)
    if not 0 < len(numbers) <= _MOST_NUMBERS or any(isinstance(number, (bytes, str)) for number in numbers):
        return None
    if any(math.isinf(float(number)) for number in numbers):
        return None
    return value


def _few_bytes(value: Any) -> Any:
    """A version, or a number written as bytes."""
    return value if isinstance(value, int) or (isinstance(value, bytes) and len(value) <= 4) else None


def _tags(clean: _Clean, *tags: int) -> dict[int, _Clean]:
    return dict.fromkeys(map(int, tags), clean)


_B, _G = ExifTags.Base, ExifTags.GPS
_FIRST: Mapping[int, _Clean] = {
    **_tags(_text_of(_LINE), _B.DocumentName, _B.Make, _B.Model, _B.Software, _B.DateTime, _B.Artist, _B.HostComputer),
    **_tags(_text_of(_PARAGRAPH), _B.ImageDescription, _B.Copyright),
    **_tags(_wide_text, _B.XPTitle, _B.XPComment, _B.XPAuthor, _B.XPKeywords, _B.XPSubject),
    **_tags(_numbers, _B.XResolution, _B.YResolution, _B.ResolutionUnit, _B.Rating, _B.RatingPercent),
}
_PHOTO: Mapping[int, _Clean] = {
    **_tags(
        _text_of(_CODE), _B.DateTimeOriginal, _B.DateTimeDigitized, _B.OffsetTime, _B.OffsetTimeOriginal,
        _B.OffsetTimeDigitized, _B.SubsecTime, _B.SubsecTimeOriginal, _B.SubsecTimeDigitized, _B.ImageUniqueID,
        _B.BodySerialNumber, _B.LensSerialNumber,
    ),
    **_tags(_text_of(_LINE), _B.SpectralSensitivity, _B.CameraOwnerName, _B.LensMake, _B.LensModel),
    **_tags(_coded_text, _B.UserComment),
    **_tags(_few_bytes, _B.ExifVersion, _B.FlashPixVersion, _B.ComponentsConfiguration, _B.FileSource, _B.SceneType),
    **_tags(
        _numbers, _B.ExposureTime, _B.FNumber, _B.ExposureProgram, _B.ISOSpeedRatings, _B.SensitivityType,
        _B.StandardOutputSensitivity, _B.RecommendedExposureIndex, _B.ISOSpeed, _B.ISOSpeedLatitudeyyy,
        _B.ISOSpeedLatitudezzz, _B.CompressedBitsPerPixel, _B.ShutterSpeedValue, _B.ApertureValue, _B.BrightnessValue,
        _B.ExposureBiasValue, _B.MaxApertureValue, _B.SubjectDistance, _B.MeteringMode, _B.LightSource, _B.Flash,
        _B.FocalLength, _B.AmbientTemperature, _B.Humidity, _B.Pressure, _B.WaterDepth, _B.Acceleration,
        _B.CameraElevationAngle, _B.ColorSpace, _B.FlashEnergy, _B.FocalPlaneXResolution, _B.FocalPlaneYResolution,
        _B.FocalPlaneResolutionUnit, _B.ExposureIndex, _B.SensingMethod, _B.CustomRendered, _B.ExposureMode,
        _B.WhiteBalance, _B.DigitalZoomRatio, _B.FocalLengthIn35mmFilm, _B.SceneCaptureType, _B.GainControl,
        _B.Contrast, _B.Saturation, _B.Sharpness, _B.SubjectDistanceRange, _B.LensSpecification, _B.CompositeImage,
        _B.CompositeImageCount, _B.Gamma,
    ),
}  # fmt: skip
_POSITION: Mapping[int, _Clean] = {
    **_tags(
        _text_of(_CODE), _G.GPSLatitudeRef, _G.GPSLongitudeRef, _G.GPSSatellites, _G.GPSStatus, _G.GPSMeasureMode,
        _G.GPSSpeedRef, _G.GPSTrackRef, _G.GPSImgDirectionRef, _G.GPSMapDatum, _G.GPSDestLatitudeRef,
        _G.GPSDestLongitudeRef, _G.GPSDestBearingRef, _G.GPSDestDistanceRef, _G.GPSDateStamp,
    ),
    **_tags(_coded_text, _G.GPSProcessingMethod, _G.GPSAreaInformation),
    **_tags(_few_bytes, _G.GPSVersionID, _G.GPSAltitudeRef),
    **_tags(
        _numbers, _G.GPSLatitude, _G.GPSLongitude, _G.GPSAltitude, _G.GPSTimeStamp, _G.GPSDOP, _G.GPSSpeed, _G.GPSTrack,
        _G.GPSImgDirection, _G.GPSDestLatitude, _G.GPSDestLongitude, _G.GPSDestBearing, _G.GPSDestDistance,
        _G.GPSDifferential, _G.GPSHPositioningError,
    ),
}  # fmt: skip
# Maker notes are opaque and often hold previews; sizes and places are no longer true once the picture is turned, scaled
# or cropped; the rest lays out the file, or is what other libraries carry the same things in.
_SPENT = {
    *(_B.ImageWidth, _B.ImageLength, _B.BitsPerSample, _B.Compression, _B.PhotometricInterpretation, _B.FillOrder),
    *(_B.StripOffsets, _B.Orientation, _B.SamplesPerPixel, _B.RowsPerStrip, _B.StripByteCounts, _B.PlanarConfiguration),
    *(_B.Predictor, _B.ColorMap, _B.TileWidth, _B.TileLength, _B.TileOffsets, _B.TileByteCounts, _B.ExtraSamples),
    *(_B.SampleFormat, _B.JPEGTables, _B.YCbCrCoefficients, _B.YCbCrSubSampling, _B.YCbCrPositioning),
    *(_B.ReferenceBlackWhite, _B.NewSubfileType, _B.SubfileType, _B.PageNumber, _B.TransferFunction, _B.WhitePoint),
    *(_B.PrimaryChromaticities, _B.XMLPacket, _B.ImageResources, _B.ExifOffset, _B.InterColorProfile, _B.GPSInfo),
    *(_B.MakerNote, _B.ExifImageWidth, _B.ExifImageHeight, _B.ExifInteroperabilityOffset, _B.SubjectLocation),
    *(_B.CFAPattern, _B.PrintImageMatching, _B.JpegIFOffset, _B.JpegIFByteCount, _B.IPTCNAA, 0x9214, 0xEA1C),
}


def _exif(picture: Image.Image) -> _Part:
    source = picture.getexif()
    clean = Image.Exif()
    first, lost = _kept(source.items(), _FIRST)
    for tag, value in first.items():
        clean[tag] = value
    for place, known in ((ExifTags.IFD.Exif, _PHOTO), (ExifTags.IFD.GPSInfo, _POSITION)):
        kept, incomplete = _kept(source.get_ifd(place).items(), known)
        lost |= incomplete
        if kept:
            clean[place] = kept
    if not len(clean):
        return None, lost
    clean[ExifTags.Base.Orientation] = 1
    written = clean.tobytes()
    return (written if written.startswith(_HEADER) else _HEADER + written), lost


def _kept(tags: Iterable[tuple[int, Any]], known: Mapping[int, _Clean]) -> tuple[dict[int, Any], bool]:
    """The fields of a directory that hold what they are for, and whether there were others."""
    kept, lost = {}, False
    for tag, value in tags:
        if tag in known:
            cleaned = _cleaned(known[tag], value)
            if cleaned is not None:
                kept[tag] = cleaned
            lost |= cleaned is None
        else:
            lost |= tag not in _SPENT
    return kept, lost


def _cleaned(clean: _Clean, value: Any) -> Any:
    try:
        return clean(value)
    except (ValueError, TypeError, ArithmeticError):
        return None


def _xmp(picture: Image.Image) -> _Part:
    packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    if isinstance(packet, tuple):
        packet = b"".join(packet)
    if not packet:
        return None, False
    return rebuilt_xmp((packet.encode() if isinstance(packet, str) else bytes(packet)).rstrip(b"\0"))


def _comment(picture: Image.Image) -> _Part:
    comment = picture.info.get("comment")
    if not comment:
        return None, False
    raw = comment if isinstance(comment, bytes) else str(comment).encode()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    good = are_words(text.rstrip("\0"), _PARAGRAPH)
    return (raw.rstrip(b"\0") if good else None), not good


def _text(picture: Image.Image) -> _Part:
    texts, lost = [], False
    for key, value in getattr(picture, "text", {}).items():
        if key == "XML:com.adobe.xmp" or key.startswith("Raw profile type"):  # XMP is kept as such; EXIF in hex
            continue
        if key in _KEYWORDS and are_words(str(value), _PARAGRAPH):
            texts.append((str(key), str(value)))
        else:
            lost = True
    return tuple(texts), lost
