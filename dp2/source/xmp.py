"""Rebuilds an XMP packet from the properties that are known to hold words, dates and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from dp2.source.words import are_words

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_LANGUAGE_CODE = re.compile(r"[A-Za-z0-9-]{1,20}")
_MOST_BYTES = 1 << 20
_MOST_PROPERTIES, _MOST_ITEMS = 200, 100
_LINE, _PARAGRAPH = 200, 2000  # letters

# Namespace: (usual prefix, names of lines, names of paragraphs), from the XMP specification, parts 1 and 2, and IPTC's.
_KNOWN: Mapping[str, tuple[str, frozenset[str], frozenset[str]]] = {
    "http://purl.org/dc/elements/1.1/": (
        "dc",
        frozenset({"title", "creator", "subject", "contributor", "publisher", "date", "language", "source", "type"}),
        frozenset({"description", "rights"}),
    ),
    "http://ns.adobe.com/xap/1.0/": (
        "xmp",
        frozenset({"CreateDate", "ModifyDate", "MetadataDate", "CreatorTool", "Rating", "Label"}),
        frozenset(),
    ),
    "http://ns.adobe.com/xap/1.0/rights/": (
        "xmpRights",
        frozenset({"Marked", "Owner", "WebStatement"}),
        frozenset({"UsageTerms"}),
    ),
    "http://ns.adobe.com/photoshop/1.0/": (
        "photoshop",
        frozenset({"AuthorsPosition", "CaptionWriter", "Category", "City", "Country", "Credit", "DateCreated"})
        | frozenset({"Headline", "Source", "State", "TransmissionReference", "Urgency"}),
        frozenset({"Instructions"}),
    ),
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": (
        "Iptc4xmpCore",
        frozenset({"CountryCode", "IntellectualGenre", "Location", "Scene", "SubjectCode"}),
        frozenset(),
    ),
    "http://ns.adobe.com/tiff/1.0/": (
        "tiff",
        frozenset({"Artist", "DateTime", "Make", "Model", "Software"}),
        frozenset({"Copyright", "ImageDescription"}),
    ),
    "http://ns.adobe.com/exif/1.0/": (
        "exif",
        frozenset({"ApertureValue", "DateTimeDigitized", "DateTimeOriginal", "ExposureBiasValue", "ExposureMode"})
        | frozenset({"ExposureProgram", "ExposureTime", "FNumber", "FocalLength", "FocalLengthIn35mmFilm"})
        | frozenset({"GPSAltitude", "GPSAltitudeRef", "GPSLatitude", "GPSLongitude", "GPSTimeStamp"})
        | frozenset({"ISOSpeedRatings", "MeteringMode", "SceneCaptureType", "ShutterSpeedValue", "WhiteBalance"}),
        frozenset({"UserComment"}),
    ),
    "http://ns.adobe.com/exif/1.0/aux/": ("aux", frozenset({"Lens", "LensInfo"}), frozenset()),
    "http://ns.adobe.com/lightroom/1.0/": ("lr", frozenset({"hierarchicalSubject"}), frozenset()),
}
# Their loss is no loss: what they say was applied to the pixels, or is no longer true.
_SPENT = {
    "{http://ns.adobe.com/tiff/1.0/}Orientation",
    "{http://ns.adobe.com/tiff/1.0/}ImageWidth",
    "{http://ns.adobe.com/tiff/1.0/}ImageLength",
    "{http://ns.adobe.com/exif/1.0/}PixelXDimension",
    "{http://ns.adobe.com/exif/1.0/}PixelYDimension",
    "{http://ns.adobe.com/xap/1.0/}Thumbnails",
    f"{{{_RDF}}}about",
}


@dataclass(frozen=True, slots=True)
class _Property:
    """A name with its namespace, and one text, or several in an rdf:Bag, rdf:Seq or rdf:Alt with their languages."""

    name: str
    texts: tuple[tuple[str, str | None], ...]
    container: str | None = None


def rebuilt_xmp(packet: bytes) -> tuple[bytes | None, bool]:
    """A packet of the same known properties, and whether anything else was left out.

    Args:
        packet: UTF-8.

    Returns:
        None where nothing is left.

    Raises:
        ValueError: too long, of another encoding, or with a document type, which could grow without bounds.
        ElementTree.ParseError: no XML.
    """
    text = packet.decode()
    if len(packet) > _MOST_BYTES or "\0" in text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("no XMP packet of a sane kind")
    root = ElementTree.fromstring(text.strip("\ufeff \t\r\n"))  # noqa: S314, without a document type there are no entities
    descriptions = [entry for rdf in root.iter(f"{{{_RDF}}}RDF") for entry in rdf]
    kept: list[_Property] = []
    lost = not descriptions or any((entry.text or "").strip() for entry in (root, *descriptions))
    for found in (found for description in descriptions for found in _properties(description)):
        if found is None or len(kept) >= _MOST_PROPERTIES:
            lost = True
        elif found.name not in _SPENT:
            good = _is_known(found)
            lost |= not good
            kept += [found] if good else []
    return (_written(kept) if kept else None), lost


def _properties(description: ElementTree.Element) -> Iterator[_Property | None]:
    """What a description says, as attributes and as elements; None for what is no simple value."""
    for name, value in description.attrib.items():
        yield _Property(name, ((value, None),))
    for element in description:
        yield _property(element)


def _property(element: ElementTree.Element) -> _Property | None:
    if element.tag in _SPENT:
        return _Property(element.tag, ())
    if len(element) == 0:
        return None if element.attrib else _Property(element.tag, ((element.text or "", None),))
    container = element[0]
    if len(element) != 1 or container.tag not in {f"{{{_RDF}}}{kind}" for kind in ("Bag", "Seq", "Alt")}:
        return None
    items = list(container)
    if len(items) > _MOST_ITEMS or any(len(item) or set(item.attrib) - {_LANGUAGE} for item in items):
        return None
    return _Property(
        element.tag,
        tuple((item.text or "", item.get(_LANGUAGE)) for item in items),
        container.tag.removeprefix(f"{{{_RDF}}}"),
    )


def _is_known(found: _Property) -> bool:
    space, _, name = found.name.removeprefix("{").partition("}")
    _, lines, paragraphs = _KNOWN.get(space, ("", frozenset(), frozenset()))
    most = _LINE if name in lines else _PARAGRAPH if name in paragraphs else 0
    together = " ".join(text for text, _ in found.texts)
    return (
        bool(most)
        and are_words(together, 2 * _PARAGRAPH)
        and all(
            are_words(text, most) and (language is None or _LANGUAGE_CODE.fullmatch(language))
            for text, language in found.texts
        )
    )


def _written(properties: list[_Property]) -> bytes:
    prefixes = {space: prefix for space, (prefix, _, _) in _KNOWN.items()}
    spaces = sorted({found.name[1:].partition("}")[0] for found in properties})
    declared = "".join(f" xmlns:{prefixes[space]}={quoteattr(space)}" for space in spaces)
    lines = []
    for found in properties:
        space, _, name = found.name[1:].partition("}")
        tag = f"{prefixes[space]}:{name}"
        if found.container is None:
            inner = escape(found.texts[0][0])
        else:
            items = "".join(
                f"<rdf:li{'' if language is None else f' xml:lang={quoteattr(language)}'}>{escape(text)}</rdf:li>"
                for text, language in found.texts
            )
            inner = f"<rdf:{found.container}>{items}</rdf:{found.container}>"
        lines.append(f"<{tag}>{inner}</{tag}>")
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about=""{declared}>{"".join(lines)}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()
