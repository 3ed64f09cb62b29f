"""Several results in one ZIP."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from dp2.web.bundle import zipped


def test_files_come_out_as_they_went_in_under_names_that_differ(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(range(256)) * 20_000)
    (tmp_path / "small").write_bytes(b"small")
    wanted = [("large", "a.jpg"), ("small", "A.JPG"), ("small", "a.jpg"), ("small", "é.mp4")]
    content = b"".join(zipped([(tmp_path / file, name) for file, name in wanted]))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.jpg", "A (2).JPG", "a (3).jpg", "é.mp4"]
        assert archive.read("a.jpg") == (tmp_path / "large").read_bytes()
        assert archive.read("A (2).JPG") == b"small"


@pytest.mark.parametrize("name", ["../../x.jpg", "C:\\x.jpg", "/x.jpg", "a\nb.jpg", "..", ""])
def test_no_name_leads_out_of_the_folder_where_it_is_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with zipfile.ZipFile(io.BytesIO(b"".join(zipped([(tmp_path / "file", name)])))) as archive:
        (inside,) = archive.namelist()
    assert inside
    assert not set(inside) & set("/\\:\n")
    assert not inside.startswith(".")


def test_it_is_made_piece_by_piece(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(5 << 20))
    assert max(len(piece) for piece in zipped([(tmp_path / "file", "x.bin")])) < 2 << 20
