"""Names of results, from a command line to files on a disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dp2.cli.commands.anonymize import anonymize


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def call(*words: str) -> str:
    result = CliRunner().invoke(anonymize, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def test_folder_with_files_that_differ_by_suffix_only(clips, astronaut: np.ndarray) -> None:
    folder = Path("card")
    folder.mkdir()
    video = clips.make("a.mp4", 3).read_bytes()
    for name in ("x.MP4", "x.lrv"):
        (folder / name).write_bytes(video)
    photo = Image.fromarray(astronaut[:120, 150:270])
    photo.save(folder / "y.jpg")
    photo.save(folder / "y.mpo", "JPEG")
    call("card")
    assert sorted(os.listdir("card_anonymized")) == ["x.MP4", "x_lrv.mp4", "y.jpg", "y_mpo.jpg"]


@pytest.mark.parametrize("letter", ["n", "人"])
def test_photo_and_video_with_the_longest_names_that_disks_hold(clips, astronaut: np.ndarray, letter: str) -> None:
    stem = letter * (251 // len(letter.encode()))
    Image.fromarray(astronaut[:120, 150:270]).save(f"{stem}.jpg")
    Path(f"{stem}.mp4").write_bytes(clips.make("a.mp4", 3, audio="aac").read_bytes())
    call(f"{stem}.jpg", f"{stem}.mp4", "--keep-audio")
    made = sorted(name for name in os.listdir() if "_anonymized" in name)
    assert len(made) == 2
    assert [Path(name).suffix for name in made] == [".jpg", ".mp4"]
    assert len(os.listdir()) == 4


def test_video_named_like_an_address(clips) -> None:
    for name in ("12:30.mp4", "http:host.mp4"):
        Path(name).write_bytes(clips.make("a.mp4", 3, audio="aac").read_bytes())
        call(name, "--keep-audio", "--keep-metadata")
    assert sorted(os.listdir()) == ["12:30.mp4", "12:30_anonymized.mp4", "http:host.mp4", "http:host_anonymized.mp4"]


def test_notes_on_sound_and_tags_are_said(shared_cases: Path) -> None:
    said = call(str(shared_cases / "mkv_tag_base64_jpeg.mkv"), "-o", "a.mp4", "--keep-metadata")
    assert "tags left out, because they are unknown or may hold a picture: COVER" in " ".join(said.split())
    said = call(str(shared_cases / "pcm_sound.avi"), "-o", "b.mp4", "--keep-audio")
    assert ".mp4 cannot hold its sound (pcm_s16le), which became AAC" in " ".join(said.split())
