"""Tells words that people write from data that are dressed up as text."""

from __future__ import annotations

import re
from itertools import pairwise

# What base 64, 85 and hexadecimal are made of, without the marks that break up addresses, paths and lists.
_UNBROKEN = re.compile(r"[A-Za-z0-9+=!#$%^~`|]{60}|[A-Za-z0-9+/=]{100}")
# The beginnings of JPEG, PNG, GIF, WebP, TIFF and HEIF in base 64, and of JPEG and PNG in hexadecimal.
_PICTURE = re.compile(
    r"/9j/|iVBORw0KGgo|R0lGOD[dl]h|UklGR|SUkqA|TU0AK|Z0eXB|ZnR5c|mdHlw|ffd8ff|89504e47", re.IGNORECASE
)
_SHORT = 80  # letters, in which no picture fits
_FEWEST_LETTERS = 0.5  # of what is not blank; hexadecimal and base 85 have fewer, base 64 more
_MOST_HUMPS = 0.06  # capitals behind small letters; in base 64 every sixth letter is one, in prose hardly any


def are_words(text: str, most: int) -> bool:
    """Whether a text can be meant to be read: at most `most` printable letters that are no picture in disguise."""
    if len(text) > most or not all(letter.isprintable() or letter in "\t\n\r" for letter in text):
        return False
    if _UNBROKEN.search(text) or _PICTURE.search("".join(text.split())):
        return False
    dense = "".join(text.split())
    if len(dense) <= _SHORT:
        return True
    letters = sum(letter.isalpha() for letter in dense)
    humps = sum(after.isupper() and before.islower() for before, after in pairwise(text))
    return letters >= _FEWEST_LETTERS * len(dense) and humps <= _MOST_HUMPS * len(dense)
