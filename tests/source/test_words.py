from __future__ import annotations

import base64
import itertools
import random

import pytest

from dp2.source.words import are_words

PROSE = [
    "",
    "Canon EOS 5D Mark IV",
    "EF24-70mm f/2.8L II USM",
    "© 2024 Anna Virtanen, all rights reserved. No use without written permission of the photographer.",
    "COPYRIGHT 2024 BY THE CITY ARCHIVE OF TAMPERE. ALL RIGHTS RESERVED. CONTACT THE ARCHIVE FOR PRINTS AND LICENCES.",
    "https://commons.wikimedia.org/wiki/File:Grace_Hopper_and_UNIVAC_at_the_Smithsonian_in_1960.jpg",
    "6f1ed002-ab56-4f3e-9d1c-0a1b2c3d4e5f",
    "Der Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetzentwurf lag auf dem Tisch.\nNiemand las ihn.",
    "東京タワーから見た夕暮れの街並み。カメラは三脚に固定し、露出時間は三十秒でした。" * 4,
    "Adobe Photoshop Lightroom Classic 13.1 (Macintosh)",
    "41°24'12.2\"N 2°10'26.5\"E, 12 m above sea level; left to right: P. Smith, J. O'Hara, M. de la Cruz, L. MacDonald",
]


@pytest.mark.parametrize("text", PROSE)
def test_what_people_and_cameras_write_are_words(text: str) -> None:
    assert are_words(text, 2000)


def coded(how: str) -> str:
    data = random.Random(3).randbytes(900)
    code = {"b64": base64.b64encode, "b85": base64.b85encode, "b16": base64.b16encode, "b32": base64.b32encode}[how]
    return code(data).decode()


@pytest.mark.parametrize(
    ("how", "line"), [*itertools.product(["b64", "b85", "b16"], [48, 64, 76, 5000]), ("b32", 64), ("b32", 76)]
)
def test_bytes_written_as_text_are_none(how: str, line: int) -> None:
    text = coded(how)
    lines = [text[at : at + line] for at in range(0, len(text), line)]
    assert not are_words("\n".join(lines), 5000)


@pytest.mark.parametrize("text", ["word " * 50, "a\0b", "a\x1bb", "\ud800"])
def test_too_long_or_not_printable(text: str) -> None:
    assert not are_words(text, 200)
