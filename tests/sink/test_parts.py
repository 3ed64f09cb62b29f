"""What killed processes left is tidied up; what is being written, or is no part, stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dp2.sink.atomic import PendingFile, atomic_path
from dp2.sink.parts import create_part, cut_name, sweep_parts

WRITER = """
import sys
from pathlib import Path
from dp2.sink.atomic import PendingFile
pending = PendingFile(Path(sys.argv[1]), overwrite=True)
pending.temporary.write_bytes(b"half")
print(pending.temporary.name, flush=True)
sys.stdin.read()
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows itself refuses to remove what is open")


def writer(target: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(target)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_part_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    dead, living = writer(tmp_path / "a.mp4"), writer(tmp_path / "b.mp4")
    names = first_line(dead), first_line(living)
    try:
        dead.kill()
        dead.wait()
        assert sorted(os.listdir(tmp_path)) == sorted(names)
        sweep_parts(tmp_path)
        assert os.listdir(tmp_path) == [names[1]]
    finally:
        living.kill()
        living.wait()


def test_own_part_stays_until_it_is_whole(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.png", overwrite=False) as part:
        part.write_bytes(b"whole")
        sweep_parts(tmp_path)
        assert part.read_bytes() == b"whole"
    sweep_parts(tmp_path)
    assert (tmp_path / "a.png").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.png"]


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    others = [".a.part.mp4", "a.0123456789ab.part.mp4", ".a.0123456789ab.mp4", ".a.0123456789AB.part", ".part"]
    for name in others:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".folder.0123456789ab.part").mkdir()
    (tmp_path / ".link.0123456789ab.part").symlink_to(tmp_path / ".part")
    before = sorted(os.listdir(tmp_path))
    sweep_parts(tmp_path)
    sweep_parts(tmp_path / "missing")
    assert sorted(os.listdir(tmp_path)) == before


def test_part_without_suffix_and_with_a_line_break_in_its_name(tmp_path: Path) -> None:
    for name in ("report", "two\nlines.jpg", "a." + "x" * 200):
        part, descriptor = create_part(tmp_path / name)
        os.close(descriptor)
        assert len(os.fsencode(part.name)) < 100
    sweep_parts(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("character", ["n", "é", "人", "🙂"])
def test_longest_names_that_a_disk_holds(tmp_path: Path, character: str) -> None:
    target = tmp_path / (cut_name(character * 255, 251) + ".jpg")
    pending = PendingFile(target, overwrite=False)
    assert len(os.fsencode(pending.temporary.name)) <= 255
    pending.temporary.write_bytes(b"whole")
    pending.commit()
    assert target.read_bytes() == b"whole"


def test_name_is_cut_between_characters() -> None:
    assert cut_name("aéb", 2) == "a"
    assert cut_name("aéb", 3) == "aé"
    assert cut_name("🙂🙂", 7) == "🙂"
    assert cut_name("short", 99) == "short"
    assert cut_name(os.fsdecode(b"\xff\xfe\xfd"), 2) == os.fsdecode(b"\xff\xfe")
