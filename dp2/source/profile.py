"""Rebuilds ICC profiles from what colour needs, so that nothing else travels in them."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image as Pil
from PIL import ImageCms

# ICC.1:2022, 9.2. What matters to a three-component matrix profile or a one-component curve.
_POINTS = (b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES = (b"rTRC", b"gTRC", b"bTRC", b"kTRC")
_NEEDED = {b"RGB ": (b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"), b"GRAY": (b"wtpt", b"kTRC")}
_TABLES = (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2", b"D2B3")  # take precedence over matrix and curves
_MOST_TAGS = 100
_MOST_BYTES = 32 << 20
_LONGEST_CURVE = 4096  # entries; ICC.1's own examples have 256 to 1024
_PARAMETERS = (1, 3, 4, 5, 7)  # of each kind of formula (10.18)

# Names that tell which of the well-known profiles this is, and nothing about the file.
_NAMES = (
    "sRGB built-in",
    "sRGB IEC61966-2.1",
    "sRGB",
    "Display P3",
    "Adobe RGB (1998)",
    "ProPhoto RGB",
    "Apple RGB",
    "Generic RGB Profile",
    "Generic Gray Profile",
    "Generic Gray Gamma 2.2 Profile",
    "Dot Gain 20%",
    "Gray Gamma 2.2",
)
_NO_NAME = "colour profile"
_RIGHTS = "none stated"


class _UnsafeProfileError(ValueError):
    """Holds colour in a way that is not rebuilt here."""


def rebuilt_profile(profile: bytes) -> bytes | None:
    """The same colours in a profile of known tags only: matrix, white point, curves, adaptation.

    Private tags, texts, dates, makers, models and serial numbers do not come along; of the name only a well-known one.

    Args:
        profile: for RGB or grey.

    Returns:
        None if it cannot be rebuilt so that a colour engine sees no difference; convert the pixels then.
    """
    try:
        made = _rebuilt(profile)
        same = made == profile or _means_the_same(profile, made)
    except (_UnsafeProfileError, struct.error, IndexError, OSError, ValueError, ImageCms.PyCMSError):
        return None
    return made if same else None


def _rebuilt(profile: bytes) -> bytes:
    space, connection, version = profile[16:20], profile[20:24], profile[8]
    tags = _tags(profile)
    if profile[36:40] != b"acsp" or connection != b"XYZ " or version not in (2, 4) or space not in _NEEDED:
        raise _UnsafeProfileError
    if any(name in tags for name in _TABLES) or any(name not in tags for name in _NEEDED[space]):
        raise _UnsafeProfileError
    kept: dict[bytes, bytes] = {b"desc": _text(_name(tags.get(b"desc", b"")), version, b"desc")}
    kept[b"cprt"] = _text(_RIGHTS, version, b"text")
    for name in _NEEDED[space]:
        kept[name] = _point(tags[name]) if name in _POINTS else _curve(tags[name])
    if b"chad" in tags:
        kept[b"chad"] = _numbers(tags[b"chad"], b"sf32", 9)
    if tags.get(b"cicp", b"")[:4] == b"cicp":
        kept[b"cicp"] = b"cicp" + bytes(4) + tags[b"cicp"][8:12].ljust(4, b"\0")
    return _assembled(kept, space, profile)


def _tags(profile: bytes) -> Mapping[bytes, bytes]:
    count = struct.unpack_from(">I", profile, 128)[0]
    if count > _MOST_TAGS or len(profile) > _MOST_BYTES:
        raise _UnsafeProfileError
    tags: dict[bytes, bytes] = {}
    for number in range(count):
        name, start, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        tags.setdefault(name, profile[start : start + size])
    return tags


def _point(data: bytes) -> bytes:
    return _numbers(data, b"XYZ ", 3)


def _numbers(data: bytes, kind: bytes, count: int) -> bytes:
    """So many fixed-point numbers of at most four in size."""
    numbers = struct.unpack_from(f">{count}i", data, 8)
    if data[:4] != kind or max(map(abs, numbers)) > 4 << 16:
        raise _UnsafeProfileError
    return kind + bytes(4) + struct.pack(f">{count}i", *numbers)


def _curve(data: bytes) -> bytes:
    """A curve that rises, so that its entries can be no picture; or a formula."""
    if data[:4] == b"para":
        kind = struct.unpack_from(">H", data, 8)[0]
        if kind >= len(_PARAMETERS):
            raise _UnsafeProfileError
        return data[:4] + bytes(4) + data[8:10] + bytes(2) + data[12 : 12 + 4 * _PARAMETERS[kind]]
    count = struct.unpack_from(">I", data, 8)[0]
    if data[:4] != b"curv" or count > _LONGEST_CURVE:
        raise _UnsafeProfileError
    entries = struct.unpack_from(f">{count}H", data, 12)
    if any(after < before for before, after in itertools.pairwise(entries)):
        raise _UnsafeProfileError
    return data[:4] + bytes(4) + struct.pack(f">I{count}H", count, *entries)


def _name(description: bytes) -> str:
    words = b""
    if description[:4] == b"desc":
        words = description[12 : 12 + struct.unpack_from(">I", description, 8)[0]].rstrip(b"\0")
    elif description[:4] == b"mluc" and len(description) >= 28:
        size, start = struct.unpack_from(">II", description, 20)
        words = description[start : start + size].decode("utf-16-be", "replace").encode("ascii", "replace")
    name = words.decode("ascii", "replace")
    return name if name in _NAMES else _NO_NAME


def _text(words: str, version: int, old_kind: bytes) -> bytes:
    if version >= 4:  # multiLocalizedUnicodeType
        wide = words.encode("utf-16-be")
        return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(wide), 28) + wide
    plain = words.encode("ascii") + b"\0"
    if old_kind == b"text":
        return b"text" + bytes(4) + plain
    return b"desc" + bytes(4) + struct.pack(">I", len(plain)) + plain + bytes(78)  # no Unicode, no ScriptCode


def _assembled(tags: Mapping[bytes, bytes], space: bytes, profile: bytes) -> bytes:
    places: dict[bytes, int] = {}  # equal data is stored once
    body, start = b"", 128 + 4 + 12 * len(tags)
    table = struct.pack(">I", len(tags))
    for name, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    version, intent = profile[8:10], struct.unpack_from(">I", profile, 64)[0]
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    head = struct.pack(">I4s2s2x4s4s4s", start + len(body), bytes(4), version, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(24)
    head += struct.pack(">I", intent if intent < 4 else 0) + white
    return head.ljust(128, b"\0") + table + body


def _means_the_same(before: bytes, after: bytes) -> bool:
    """Whether a colour engine turns both into the same sRGB, over a grid of colours and all greys."""
    grey = before[16:20] == b"GRAY"
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.arange(256, dtype=np.uint8)[None] if grey else np.stack(np.meshgrid(steps, steps, steps), -1)
    picture = Pil.fromarray(colours if grey else np.ascontiguousarray(colours.reshape(1, -1, 3)))
    first, second = (np.asarray(to_srgb(picture, profile), np.int16) for profile in (before, after))
    return bool(np.abs(first - second).max() <= 1)


def to_srgb(picture: Pil.Image, profile: bytes) -> Pil.Image:
    """The picture's colours in sRGB, as RGB without alpha.

    Args:
        picture: of mode RGB or L.
        profile: that its colours are in.

    Raises:
        ImageCms.PyCMSError, OSError: the profile cannot be used.
    """
    source: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(
        picture, source, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )  # fmt: skip
    if converted is None:
        raise ImageCms.PyCMSError("nothing was converted")
    return converted
