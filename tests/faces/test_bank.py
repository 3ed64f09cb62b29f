"""The identities that dp2 ships, and how one is chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dp2.errors import CheckpointMismatch, UnreadableCheckpoint, UsageError
from dp2.faces.bank import AGES, FILE, Bank
from dp2.faces.choosing import Choice, chosen


@pytest.fixture(scope="module")
def bank() -> Bank:
    return Bank()


def test_there_are_many_women_and_men_of_all_ages_in_few_megabytes(bank: Bank) -> None:
    assert len(bank) >= 1000
    assert FILE.stat().st_size < 20e6
    share = bank.people.presentations.mean()
    assert 0.4 < share < 0.6
    assert set(bank.people.ages.tolist()) == set(range(len(AGES)))


def test_every_hundredth_texture_is_a_whole_picture(bank: Bank) -> None:
    for number in range(0, len(bank), 100):
        texture = bank.texture(number)
        assert texture.side >= 256
        assert texture.levels[0].std() > 10


def test_one_person_always_becomes_the_same_and_others_become_others(bank: Bank) -> None:
    colour = np.array([176, 144, 128], np.float32)
    first = [chosen(bank.people, Choice(), index, colour) for index in range(30)]
    assert first == [chosen(bank.people, Choice(), index, colour) for index in range(30)]
    assert len(set(first)) > 20


def test_skin_follows_the_coarse_colour(bank: Bank) -> None:
    dark, pale = (
        np.mean([bank.people.tones[chosen(bank.people, Choice(), index, np.float32(colour))][0] for index in range(20)])
        for colour in ([64, 48, 32], [224, 192, 176])
    )
    assert pale - dark > 50


def test_what_is_asked_for_is_given(bank: Bank) -> None:
    colour = np.full(3, 128, np.float32)
    for index in range(10):
        number = chosen(bank.people, Choice(age="middle", presentation="woman"), index, colour)
        assert AGES[bank.people.ages[number]] == "middle"
        assert bank.people.presentations[number] == 0
    assert chosen(bank.people, Choice(face=17), 3, colour) == 17
    with pytest.raises(UsageError, match="there are faces 0 to"):
        chosen(bank.people, Choice(face=10**6), 3, colour)
    with pytest.raises(UsageError, match="age is one of"):
        Choice(age="ancient")


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(FILE.read_bytes()[:5000])
    with pytest.raises(UnreadableCheckpoint, match="no faces can be read"):
        Bank(tmp_path / "cut.safetensors")
    save_file({"pixels": np.zeros(9, np.uint8)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointMismatch, match="which are no faces"):
        Bank(tmp_path / "other.safetensors")
