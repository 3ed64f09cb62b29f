# ruff: noqa: PT012 - what is tested is an error inside the block
from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from dp2.errors import OutputError
from dp2.sink.atomic import PendingFile, atomic_path


def test_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.png"
    with atomic_path(target, overwrite=False) as temporary:
        temporary.write_bytes(b"whole")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.suffix == ".png"
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_any_interruption(tmp_path: Path, interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), atomic_path(tmp_path / "a.png", overwrite=False) as temporary:
        temporary.write_bytes(b"half")
        raise interruption
    assert list(tmp_path.iterdir()) == []


def test_existing_file_survives_a_failed_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="no"), atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
        raise ValueError("no")
    assert target.read_bytes() == b"old"


def test_existing_file_is_refused_without_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="--overwrite"), atomic_path(target, overwrite=False):
        pytest.fail("the block must not run")
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_file_that_appeared_in_the_meantime_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    with pytest.raises(OutputError, match="exists already"), atomic_path(target, overwrite=False) as temporary:
        temporary.write_bytes(b"ours")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="disk is full"), atomic_path(tmp_path / "a.png", overwrite=False):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_at_the_last_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full"), atomic_path(tmp_path / "a.png", overwrite=True):
        pass
    assert list(tmp_path.iterdir()) == []


def test_error_about_an_input_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.png", overwrite=False):
        (tmp_path / "missing").read_bytes()


def test_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)  # root may write into read-only folders, so the mode alone proves nothing
    with pytest.raises(OutputError, match="cannot be written to"), atomic_path(tmp_path / "a.png", overwrite=False):
        pytest.fail("the block must not run")


def test_part_of_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(OutputError, match="is a file"),
        atomic_path(tmp_path / "file" / "b" / "a.png", overwrite=False),
    ):
        pytest.fail("the block must not run")


def test_folder_as_target(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path, overwrite=True):
        pytest.fail("the block must not run")


def test_result_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    with atomic_path(tmp_path / "a.png", overwrite=False):
        pass
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_very_long_name(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".png")
    with atomic_path(target, overwrite=False):
        pass
    assert target.exists()


def test_discard_after_commit_keeps_the_file(tmp_path: Path) -> None:
    pending = PendingFile(tmp_path / "a.png", overwrite=False)
    pending.temporary.write_bytes(b"whole")
    pending.commit()
    pending.discard()
    assert (tmp_path / "a.png").read_bytes() == b"whole"
