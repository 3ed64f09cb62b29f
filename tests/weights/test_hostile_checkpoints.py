"""Small checkpoints that would cost hours or gigabytes, or end in a traceback: each is refused in one line."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dp2.weights.limits import MOST_STEPS
from dp2.weights.readers import load_arrays, load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT.parent / "shared" / "cases"
NESTED = b"K\x01" + b"2\x86" * 60  # (1, 1), ((1, 1), (1, 1)), …: 2 ** 60 numbers to hash, compare or print


def torch_zip(data: bytes, storages: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (("data.pkl", data), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"archive/{name}", content)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return buffer.getvalue()


def legacy(data: bytes, keys: bytes) -> bytes:
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    return b"".join([*parts, data, keys])


def tensors(count: int, numbers: int) -> bytes:
    """A torch pickle of `count` tensors that are all the same storage."""

    class Storage:
        """Stands for it."""

    class View:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (storage, 0, (numbers,), (1,), False, OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", numbers) if isinstance(item, Storage) else None

    storage, buffer = Storage(), io.BytesIO()
    Pickler(buffer, 2).dump({f"w{index}": View() for index in range(count)})
    return buffer.getvalue()


def same_array(count: int, numbers: int) -> bytes:
    """A detectron2 pickle that names one array `count` times."""
    array = np.zeros(numbers, np.float32)
    return pickle.dumps({"model": {f"w{index}": array for index in range(count)}}, 2)


def encoded(times: int, length: int) -> bytes:
    """A text that is encoded again and again."""
    text = b"X" + struct.pack("<I", length) + b"a" * length + b"q\x01X\x06\0\0\0latin1q\x02"
    return b"\x80\x02]" + text + b"00c_codecs\nencode\nq\x03(" + b"h\x03h\x01h\x02\x86R" * times + b"e."


def copied(times: int, name: bytes) -> bytes:
    """A long list, of which a call makes a copy again and again."""
    pairs = b"(" + b"K\x01K\x01\x86" * 200_000 + b"lq\x01"
    return b"\x80\x02" + pairs + b"c" + name + b"\nq\x03(" + b"h\x03h\x01\x85R" * times + b"l."


def many_keys(count: int) -> bytes:
    header = json.dumps({f"k{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(count)})
    return struct.pack("<Q", len(header)) + header.encode()


def colliding(count: int) -> bytes:
    keys = (index * sys.hash_info.modulus for index in range(1, count))
    return b"\x80\x02}(" + b"".join(b"\x8a\x0b" + key.to_bytes(11, "little") + b"N" for key in keys) + b"u."


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nested tuple as key": lambda: b"\x80\x02}(" + NESTED + b"K\x01u.",
    "nested tuple in pairs": lambda: b"\x80\x02ccollections\nOrderedDict\n](" + NESTED + b"K\x01\x86e\x85R.",
    "nested tuple names a class": lambda: b"\x80\x04" + NESTED + NESTED + b"\x93.",
    "nested tuple as type": lambda: b"\x80\x02cnumpy\ndtype\n" + NESTED + b"\x85R.",
    "nested tuple as shape": lambda: (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b"
        b"\x87R(K\x01" + NESTED + b"cnumpy\ndtype\nU\x02f4\x85R\x89U\x04abcdtb."
    ),
    "nested tuple names a storage": lambda: torch_zip(
        b"\x80\x02}U\x01a(U\x07storagectorch\nFloatStorage\n" + NESTED + b"U\x03cpuK\x01tQs.", {}
    ),
    "string bomb in a torch zip": lambda: torch_zip(b"\x80\x02}(" + NESTED + b"K\x01u.", {}),
    "string bomb in a legacy file": lambda: legacy(b"\x80\x02}(" + NESTED + b"K\x01u.", pickle.dumps([], 2)),
    "views of one storage": lambda: torch_zip(tensors(1500, 1_000_000), {"0": bytes(4_000_000)}),
    "views of one bfloat16 storage": lambda: torch_zip(
        tensors(1500, 1_000_000).replace(b"FloatStorage", b"BFloat16Storage"), {"0": bytes(2_000_000)}
    ),
    "one array under many names": lambda: same_array(1500, 1_000_000),
    "one array in a torch zip": lambda: torch_zip(same_array(1500, 1_000_000), {}),
    "texts encoded over and over": lambda: encoded(50_000, 1_000_000),
    "dicts copied over and over": lambda: copied(10_000, b"collections\nOrderedDict"),
    "shapes copied over and over": lambda: torch_zip(copied(10_000, b"torch\nSize"), {}),
    "foreign dicts copied over and over": lambda: torch_zip(copied(10_000, b"easydict\nEasyDict"), {}),
    "more objects than a checkpoint": lambda: b"\x80\x02(" + b"}" * 30_000_000 + b"l.",
    "numbers with one hash": lambda: colliding(100_000),
    "tuples as keys": lambda: pickle.dumps({"model": {(index, 0): 0 for index in range(100_000)}}, 2),
    "legacy with integer keys": lambda: legacy(pickle.dumps({}, 2), pickle.dumps([1, 2], 2)),
    "legacy with unhashable keys": lambda: legacy(pickle.dumps({}, 2), pickle.dumps([[1]], 2)),
    "legacy without a list of keys": lambda: legacy(pickle.dumps({}, 2), pickle.dumps(7, 2)),
    "many keys in safetensors": lambda: many_keys(100_000),
    "long list in safetensors": lambda: struct.pack("<Q", 90 << 20) + b"{" + b" " * (90 << 20),
    "deep list in safetensors": lambda: struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995,
}
SETUP = """
from pathlib import Path
from dp2.weights.importing import import_checkpoint
from dp2.weights.readers import load_arrays
def work(name):
    reader, path = name.split(" ", 1)
    if reader == "arrays":
        load_arrays(Path(path))
    else:
        import_checkpoint(Path(path), Path(path).with_suffix(".out.safetensors"), overwrite=True)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, verdicts: Callable[..., dict[str, str]]) -> dict[str, str]:
    """What two readers say of each file, in one child of bounded memory."""
    folder = tmp_path_factory.mktemp("hostile")
    names = []
    for name, make in HOSTILE.items():
        path = folder / f"{name.replace(' ', '_')}.bin"
        path.write_bytes(make())
        names += [f"import {path}", f"arrays {path}"]
    names += [f"import {path}" for path in sorted(CASES.glob("*bomb.p*")) + sorted(CASES.glob("legacy*.pth"))]
    found = verdicts(SETUP, names)
    return {f"{name.split(' ')[0]} {Path(name.split(' ', 1)[1]).stem}": text for name, text in found.items()}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("reader", ["import", "arrays"])
def test_hostile_checkpoint_is_refused_in_one_short_line(told: dict[str, str], reader: str, name: str) -> None:
    text = told[f"{reader} {name.replace(' ', '_')}"]
    assert text.startswith(("UnsafeCheckpoint: ", "UnreadableCheckpoint: ", "CheckpointMismatch: ")), text
    assert len(text) < 700
    assert "\n" not in text
    assert ".bin: " in text  # which file it is


@pytest.mark.parametrize("name", ["hash_bomb", "string_bomb", "legacy_integer_keys"])
def test_hostile_cases_are_refused(told: dict[str, str], name: str) -> None:
    if not CASES.is_dir():
        pytest.skip("../shared/cases is not there")
    assert told[f"import {name}"].startswith(("UnsafeCheckpoint: ", "UnreadableCheckpoint: "))


def test_what_checkpoints_hold_is_still_read(tmp_path: Path) -> None:
    tied = torch.randn(100, 100)
    content = {
        "state_dict": {"a": tied, "b": tied, "c": tied.T, "z": torch.ones(2, dtype=torch.complex64)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 1: {}}, (0, "x"): 1, None: 2, 1.5: 3, True: 4},
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "size": torch.Size([3, 4]),
    }
    for zipped in (True, False):
        torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        found = load_checkpoint(tmp_path / "x.pth")
        assert all(torch.equal(found["state_dict"][key], value) for key, value in content["state_dict"].items())
        assert found["optimizer"][(0, "x")] == 1
        assert found["optimizer"]["state"][0]["step"] == 3
        assert found["size"] == (3, 4)
        assert np.array_equal(load_arrays(tmp_path / "x.pth")["state_dict"]["c"], tied.T.numpy())


def test_a_thousand_small_tensors_are_no_bomb(tmp_path: Path) -> None:
    state = {f"layer{index}.weight": torch.full((8, 8), float(index)) for index in range(3000)}
    torch.save({"model": state, "optimizer": {"state": {i: {"m": t.clone()} for i, t in enumerate(state.values())}}},
               tmp_path / "x.pth")  # fmt: skip
    assert len(load_checkpoint(tmp_path / "x.pth")["model"]) == 3000
    assert MOST_STEPS > 100 * 3000


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits on Windows")
def test_import_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(100_000)}, tmp_path / "x.pth")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "from dp2.cli import main; main(['weights', 'import', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.pth"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "x.safetensors: " in done.stderr
    assert "Nothing was written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    from dp2.errors import MissingWeights

    os.mkfifo(tmp_path / "x.pth")
    with pytest.raises(MissingWeights, match="not a file"):
        load_checkpoint(tmp_path / "x.pth")
