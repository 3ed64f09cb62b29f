"""Reference pictures: what can serve as one, and what is said of one that cannot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.choose.matching import Matching
from dp2.choose.people import load_people
from dp2.errors import MediaError, UsageError

Make = Callable[..., Path]


def save(image: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def test_a_picture_is_a_person_and_so_is_each_in_a_folder(portraits: Make, matching: Matching, tmp_path: Path) -> None:
    folder = tmp_path / "family"
    folder.mkdir()
    for name in ("astronaut", "hopper"):
        shutil.move(portraits(name), folder / f"{name}.png")
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    assert [person.name for person in load_people([folder], matching).persons] == ["astronaut", "hopper"]
    assert [person.name for person in load_people([folder / "hopper.png"], matching).persons] == ["hopper"]


def test_a_folder_in_a_folder_is_one_person_in_several_pictures(
    portraits: Make, matching: Matching, tmp_path: Path, pair: np.ndarray
) -> None:
    anna = tmp_path / "family" / "anna"
    anna.mkdir(parents=True)
    for number, factor in enumerate((0.8, 0.6)):
        shutil.move(portraits("astronaut", factor), anna / f"{number}.png")
    save(pair, anna / "with a friend.png")
    (person,) = load_people([tmp_path / "family"], matching).persons
    assert person.name == "anna"
    assert person.vectors.shape == (3, 120)
    assert np.linalg.norm(person.vectors[0] - person.vectors[2]) < matching.distance


def test_pictures_of_different_people_are_not_one_person(portraits: Make, matching: Matching, tmp_path: Path) -> None:
    anna = tmp_path / "family" / "anna"
    anna.mkdir(parents=True)
    for name in ("astronaut", "hopper"):
        shutil.move(portraits(name), anna / f"{name}.png")
    with pytest.raises(UsageError, match="different people"):
        load_people([anna.parent], matching)


def test_a_picture_of_two_is_refused(matching: Matching, tmp_path: Path, pair: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"pair\.png: shows 2 faces"):
        load_people([save(pair, tmp_path / "pair.png")], matching)


def test_a_picture_of_nobody_is_refused(matching: Matching, tmp_path: Path, scene: np.ndarray) -> None:
    with pytest.raises(UsageError, match="no face"):
        load_people([save(scene, tmp_path / "scene.png")], matching)


def test_a_face_that_is_not_clear_is_no_reference(portraits: Make, matching: Matching) -> None:
    with pytest.raises(UsageError, match="too small"):
        load_people([portraits("astronaut")], replace(matching, min_size=200))


def test_what_is_not_there_or_no_picture_is_said(matching: Matching, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such"):
        load_people([tmp_path / "nowhere"], matching)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no pictures"):
        load_people([tmp_path / "empty"], matching)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(MediaError):
        load_people([tmp_path / "bad.png"], matching)
