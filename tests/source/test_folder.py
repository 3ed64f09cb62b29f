from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.errors import UnreadableMedia
from dp2.source.folder import kind_of, walk


def found(folder: Path, *skip: Path) -> dict[str, str]:
    return {str(item.relative): item.kind for item in walk(folder, skip=skip)}


def photo(path: Path, kind: str = "JPEG", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path, kind, **options)
    return path


def test_content_decides_and_order_is_by_name(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    photo(tmp_path / "b" / "photo.txt")
    photo(tmp_path / "a.webp", "WEBP")
    photo(tmp_path / "c.gif", "GIF")
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "moving.jpg", "WEBP", save_all=True, append_images=frames[1:])
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp42")
    (tmp_path / "clip.png").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp42")
    expected = {
        "a.webp": "image",
        "b/photo.txt": "image",
        "c.gif": "image",
        "clip.mp4": "video",
        "clip.png": "video",
        "moving.gif": "animation",
        "moving.jpg": "animation",
        "notes.txt": "other",
    }
    assert found(tmp_path) == expected
    assert list(found(tmp_path)) == list(expected)


def test_damaged_files_go_to_whoever_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.mp4").write_text("no video")
    assert found(tmp_path) == {"empty.jpg": "image", "text.mp4": "video", "text.png": "image"}


def test_camera_raw_is_not_taken_for_tiff(tmp_path: Path) -> None:
    assert kind_of(photo(tmp_path / "a.nef", "TIFF")) == "other"


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    photo(tmp_path / ".hidden.jpg")
    photo(tmp_path / ".cache" / "a.jpg")
    photo(tmp_path / "a.jpg")
    assert found(tmp_path) == {"a.jpg": "image"}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    photo(tmp_path / "inner" / "a.jpg")
    (tmp_path / "inner" / "up").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert found(tmp_path) == {"inner/a.jpg": "image", "itself": "other"}


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    photo(tmp_path / "far" / "a.jpg")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "folder").symlink_to(tmp_path / "far")
    (tmp_path / "here" / "z.jpg").symlink_to(tmp_path / "far" / "a.jpg")
    (tmp_path / "here" / "broken.jpg").symlink_to(tmp_path / "gone.jpg")
    assert found(tmp_path / "here") == {"broken.jpg": "other", "folder/a.jpg": "image", "z.jpg": "image"}


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert found(tmp_path) == {"a.jpg": "other"}


def test_folder_of_results_is_not_entered(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "out" / "a.jpg")
    assert found(tmp_path, tmp_path / "out") == {"a.jpg": "image"}
    assert found(tmp_path, tmp_path) == {"a.jpg": "image", "out/a.jpg": "image"}


def test_subfolder_that_cannot_be_listed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(tmp_path / "a.jpg")
    (tmp_path / "locked").mkdir()
    listdir = os.listdir

    def guarded(path: Path) -> list[str]:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", guarded)  # tests run as root, whom no mode stops
    assert found(tmp_path) == {"a.jpg": "image", "locked": "unreadable"}


def test_missing_folder_and_file_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="missing"):
        list(walk(tmp_path / "missing"))
    with pytest.raises(UnreadableMedia, match="not a folder"):
        list(walk(photo(tmp_path / "a.jpg")))


def test_many_formats_are_photos(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / kind, kind)
        assert kind_of(tmp_path / kind) == "image"
