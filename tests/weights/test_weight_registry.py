from __future__ import annotations

import re
from pathlib import Path

import pytest

from dp2.errors import UsageError
from dp2.weights.registry import entries, find, packaged
from dp2.weights.verify import digest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def test_every_row_can_be_fetched_or_comes_with_a_package():
    for entry in entries().values():
        assert bool(entry.urls) != bool(entry.package), entry.name
        assert all(url.startswith("https://") for url in entry.urls), entry.name
        assert entry.licence
        assert entry.network
        assert entry.format in {"torch", "detectron2", "onnx", "tflite", "safetensors"}


def test_checksums_are_hexadecimal_and_of_the_right_length():
    for entry in entries().values():
        assert entry.md5 is None or re.fullmatch("[0-9a-f]{32}", entry.md5), entry.name
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{6,64}", entry.sha256), entry.name


def test_no_two_rows_share_a_file():
    files = [entry.file for entry in entries().values()]
    assert len(files) == len(set(files))


def test_prefixes_are_those_in_the_published_file_names():
    for entry in entries().values():
        if entry.sha256 and len(entry.sha256) < 64:
            assert entry.sha256 in entry.file, entry.name
            assert not entry.fully_checked


def test_rows_of_the_facts_are_all_there():
    path = SHARED / "facts" / "checkpoints.md"
    if not path.exists():
        pytest.skip("../shared/facts/checkpoints.md is absent")
    text = path.read_text(encoding="utf-8")
    urls = {url for entry in entries().values() for url in entry.urls}
    links = re.findall(r"L`([0-9a-f-]+)`|/ `([0-9a-f]{8}-[0-9a-f-]+)`", text)
    published = re.findall(r"`(https://[^`]+\.(?:pth|pkl|ckpt))`", text)
    assert len(links) > 10
    assert len(published) > 5
    for link in links:
        assert any(url.endswith("".join(link)) for url in urls), link
    for url in published:
        assert url in urls
    sums = {entry.md5 for entry in entries().values()}
    for md5 in re.findall(r"\b[0-9a-f]{32}\b", text.partition("| name |")[2]):
        assert md5 in sums


@pytest.mark.parametrize("name", ["retinaface/mobilenet", "yunet", "mobilefacenet", "selfie_segmentation"])
def test_measured_checksums_are_those_of_the_shared_files(name):
    entry = find(name)
    path = SHARED / "data" / "weights" / entry.file
    if not path.exists():
        pytest.skip(f"../shared/data/weights/{entry.file} is absent")
    assert path.stat().st_size == entry.size
    for algorithm, expected in entry.checksums.items():
        assert digest(path, algorithm) == expected


@pytest.mark.parametrize("name", ["centerface", "mtcnn/pnet", "mtcnn/rnet", "mtcnn/onet"])
def test_packaged_files_are_the_measured_ones(name):
    entry = find(name)
    assert entry.package
    path = packaged(entry.package.name, entry.package.path)
    assert path is not None
    assert (path.stat().st_size, digest(path, "sha256")) == (entry.size, entry.sha256)


def test_unknown_names_get_a_hint():
    with pytest.raises(UsageError, match=r"did you mean .*fdh/styleganL"):
        find("fdh/stylegan")
