"""Who somebody becomes: a few identities are drawn for a person, and the one that suits the coarse colour is taken."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.faces.bank import AGES, PRESENTATIONS, People
from dp2.faces.mesh import Floats

_LIGHTNESS = 0.45  # of a step in lightness, beside 1 of a step in a or b: light and skin cannot be told apart
_CHANCE = 8.0  # Lab steps: so much may chance outweigh colour


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Who may be chosen.

    Attributes:
        age: one of `AGES`, or None.
        presentation: one of `PRESENTATIONS`, or None.
        face: this identity and no other, or None.
        drawn: how many identities are drawn for a person.

    Raises:
        UsageError: a value is none of these.
    """

    age: str | None = None
    presentation: str | None = None
    face: int | None = None
    drawn: int = 24

    def __post_init__(self) -> None:
        for name, value, known in (("age", self.age, AGES), ("presentation", self.presentation, PRESENTATIONS)):
            if value is not None and value not in known:
                raise UsageError(f"{name} is one of {', '.join(known)}, not {value}.")
        if self.drawn < 1 or (self.face is not None and self.face < 0):
            raise UsageError("drawn is at least 1 and face at least 0.")


def chosen(people: People, choice: Choice, index: int, colour: Floats) -> int:
    """The number of an identity: a pure function of its arguments.

    Args:
        people: of the bank.
        choice: who may be chosen.
        index: from seed and person, see `dp2.synthesize.latents`.
        colour: (3,) RGB, coarse mean colour of the old face.

    Raises:
        UsageError: nobody in the bank is such.
    """
    if choice.face is not None:
        if choice.face >= len(people):
            raise UsageError(f"there are faces 0 to {len(people) - 1}, but not {choice.face}.")
        return choice.face
    able = np.ones(len(people), bool)
    if choice.age is not None:
        able &= people.ages == AGES.index(choice.age)
    if choice.presentation is not None:
        able &= people.presentations == PRESENTATIONS.index(choice.presentation)
    numbers = np.flatnonzero(able)
    if not len(numbers):
        raise UsageError("nobody in the bank of faces is such.")
    rng = np.random.default_rng(index)
    drawn = rng.choice(numbers, min(choice.drawn, len(numbers)), replace=False)
    cost = distance(people.tones[drawn], colour) + rng.uniform(0, _CHANCE, len(drawn))
    return int(drawn[np.argmin(cost)])


def distance(tones: Floats, colour: Floats) -> NDArray[np.float64]:
    """(N,) how far skin tones (N, 3) in Lab are from an RGB colour (3,)."""
    pixel = np.clip(np.round(colour), 0, 255).astype(np.uint8).reshape(1, 1, 3)
    lab = cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB)[0, 0].astype(np.float64)
    away = np.abs(tones - lab)
    return np.asarray(_LIGHTNESS * away[:, 0] + away[:, 1] + away[:, 2], np.float64)
