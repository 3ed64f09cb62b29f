from __future__ import annotations

import builtins
import contextlib
import io
import operator
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import save_file

from dp2.errors import MissingWeights, UnreadableCheckpoint, UnsafeCheckpoint, WeightsError
from dp2.weights.onnx_files import read_onnx
from dp2.weights.readers import load_arrays, load_checkpoint, read_detectron2
from dp2.weights.registry import packaged

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1, 2])}


class Call:
    """Pickles as a call of `function`; unpickled in the ordinary way, it happens."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call

    def __call__(self) -> None:
        """Pickle insists that what is called be callable."""


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "executed"


def payloads(marker: Path) -> dict[str, Any]:
    touch = f"touch {marker}"
    python = f"open({str(marker)!r}, 'w').close()"
    evil = Call(os.system, touch)
    return {
        "os.system": evil,
        "eval": Call(eval, python),
        "exec": Call(exec, python),
        "popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "open": Call(open, str(marker), "w"),
        "nested": Call(OrderedDict, [("a", Call(OrderedDict, [("b", evil)]))]),
        "attrgetter": Call(operator.attrgetter("system"), os),
        "getattr": Call(Call(getattr, builtins, "eval"), python),
        "object array": np.array([evil, 1], dtype=object),
        "object scalar array": np.array(evil, dtype=object),
        "in a key": {("k", Call(eval, python)): 1},
        "class": subprocess.Popen,
    }


NAMES = sorted(payloads(Path("x")))


def dump(value: Any, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()

    # `os` and other modules cannot be pickled by value; a payload that names one is written by hand.
    class Pickler(pickle.Pickler):
        def reducer_override(self, item: Any) -> Any:
            if isinstance(item, types.ModuleType):
                return __import__, (item.__name__,)
            return NotImplemented

    Pickler(buffer, protocol).dump(value)
    return buffer.getvalue()


def torch_zip(path: Path, data: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        for key, content in members.items():
            archive.writestr(f"archive/data/{key.removeprefix('_')}", content)
    return path


def legacy(path: Path, data: bytes) -> Path:
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    path.write_bytes(b"".join([*parts, data, pickle.dumps([], 2)]))
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["pickle", "old pickle", "new pickle", "torch zip", "legacy torch"])
def test_malicious_pickles_are_refused_and_not_executed(name, form, marker, tmp_path):
    payload = {"model": {"w": np.zeros(2)}, "train_state": payloads(marker)[name]}
    path = tmp_path / "evil"
    if form == "torch zip":
        torch_zip(path, dump(payload))
    elif form == "legacy torch":
        legacy(path, dump(payload))
    else:
        path.write_bytes(dump(payload, {"pickle": 2, "old pickle": 0, "new pickle": 5}[form]))
    with pytest.raises(UnsafeCheckpoint):
        load_checkpoint(path)
    assert not marker.exists()


def test_payloads_would_have_worked(marker):
    pickle.loads(dump({"train_state": payloads(marker)["eval"]}))
    assert marker.exists()


HAND_MADE = {
    "INST": b"(S'touch MARKER'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch MARKER'\no.",
    "EXT": b"\x80\x02\x82\x01.",
    "NEWOBJ_EX": b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)}\x92.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0ctouch MARKER\x85R.",
    "class attribute": b"\x80\x02ccollections\nOrderedDict\nN}U\x0b__setitem__U\x01xs\x86b.",
    "function defaults": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}U\x0c__defaults__)s\x86b.",
    "next buffer": b"\x80\x05\x97.",
    "persistent": b"\x80\x02X\x01\x00\x00\x00xQ.",
    "append to a tuple": b"\x80\x02)K\x01a.",
    "item of a name": b"\x80\x02ccollections\nOrderedDict\nK\x01K\x02s.",
    "not a call": b"\x80\x02K\x01)R.",
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_unusual_opcodes_are_refused(name, marker, tmp_path):
    data = HAND_MADE[name].replace(b"MARKER", str(marker).encode())
    for path in (tmp_path / "x.pkl", torch_zip(tmp_path / "x.pth", data)):
        if path.suffix == ".pkl":
            path.write_bytes(data)
        with pytest.raises(WeightsError):
            load_checkpoint(path)
    assert not marker.exists()


HUGE = 1 << 60


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02K\x01r\xff\xff\xff\x7f.",  # memo index of two thousand million
        b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"x.",  # bytes that are not there
        b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"N.",
        b"\x80\x02" + b"(" * 100_000 + b"t" * 99_999 + b".",
        b"\x80\x02N",
        b"\x80\x02.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
    ],
)
def test_claims_of_memory_are_not_believed(data, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    with pytest.raises(UnreadableCheckpoint):
        load_checkpoint(path)


@pytest.mark.parametrize("dtype", ["O8", "V8", "S4", "U4", "M8[s]", "i4,i4", "f4, O", "(2,2)f4", "c3"])
def test_array_types_other_than_numbers_are_refused(dtype, tmp_path):
    class Faked:
        def __reduce__(self) -> Any:
            return np.dtype, (dtype, False, True)

    path = tmp_path / "x.pkl"
    path.write_bytes(dump({"model": {"w": Faked()}}))
    with pytest.raises(WeightsError):
        load_checkpoint(path)


def test_structured_dtype_state_is_refused(tmp_path):
    class Faked:
        def __reduce__(self) -> Any:
            return np.dtype, ("f4", False, True), (3, "<", None, ("a",), {"a": 1}, 4, 4, 0)

    path = tmp_path / "x.pkl"
    path.write_bytes(dump({"model": {"w": Faked()}}))
    with pytest.raises(UnsafeCheckpoint, match="structured"):
        load_checkpoint(path)


@pytest.mark.parametrize("shape", [(1 << 40,), (-1,), (3,)])
def test_array_that_claims_another_size_is_refused(shape, tmp_path):
    class Faked:
        def __reduce__(self) -> Any:
            build = np.zeros(1).__reduce__()[0]
            return build, (np.ndarray, (0,), b"b"), (1, shape, np.dtype("f4"), False, b"\0" * 8)

    path = tmp_path / "x.pkl"
    path.write_bytes(dump({"model": {"w": Faked()}}))
    with pytest.raises(UnsafeCheckpoint, match="claims the shape"):
        load_checkpoint(path)


def tensor_pickle(count: int, size: tuple[int, ...], stride: tuple[int, ...], extra: Any = None) -> bytes:
    """A torch pickle of one float tensor with arbitrary claims."""

    class Storage:
        identifier = ("storage", torch.FloatStorage, "0", "cpu", count)

    class Tensor:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, size, stride, False, OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: Any) -> Any:
            return item.identifier if isinstance(item, Storage) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"w": Tensor(), "extra": extra})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("count", "size", "stride"),
    [(2, (1 << 40,), (0,)), (2, (3,), (1,)), (1 << 40, (1,), (1,)), (2, (-1,), (1,)), (2, (2, 2), (1,))],
)
@pytest.mark.parametrize("foreign", [False, True])
def test_tensors_larger_than_their_bytes_are_refused(count, size, stride, foreign, tmp_path, easydict):
    extra = easydict.EasyDict(a=1) if foreign else None
    path = torch_zip(tmp_path / "x.pth", tensor_pickle(count, size, stride, extra), _0=b"\0" * 8)
    with pytest.raises(WeightsError):
        load_checkpoint(path)


def test_compressed_and_program_archives_are_refused(tmp_path):
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 1_000_000)
    with pytest.raises(UnsafeCheckpoint, match="compressed"):
        load_checkpoint(bomb)
    program = tmp_path / "program.pt"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(program))
    with pytest.raises(UnsafeCheckpoint, match="TorchScript"):
        load_checkpoint(program)


def test_tar_archive_in_disguise_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("PK\x03\x04")
        archive.addfile(member)
    with pytest.raises(UnsafeCheckpoint, match="tar archive"):
        load_checkpoint(path)


@pytest.fixture
def easydict(monkeypatch):
    """The package easydict as far as pickles see it. It is not installed, so reading must do without."""

    class EasyDict(dict):  # type: ignore[type-arg]
        def __init__(self, **items: Any) -> None:
            super().__init__(items)
            self.__dict__.update(items)

    module = types.ModuleType("easydict")
    EasyDict.__module__, EasyDict.__qualname__ = "easydict", "EasyDict"
    module.EasyDict = EasyDict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "easydict", module)
    return module


@pytest.mark.parametrize("zipped", [True, False])
def test_published_file_with_a_foreign_class_is_read_without_it(zipped, tmp_path, easydict, monkeypatch):
    path = tmp_path / "x.ckpt"
    train_state = easydict.EasyDict(next_log_step=5, total_time=np.float64(2.5), inner=easydict.EasyDict(a=1))
    shared = torch.nn.Parameter(torch.randn(4, 3).half())
    content = {"EMA_generator": OrderedDict(STATE), "p": shared, "tied": shared.data.T, "train_state": train_state,
               "empty": torch.empty(0, 3), "bool": torch.tensor([True]), "scalar": torch.tensor(3)}  # fmt: skip
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.delitem(sys.modules, "easydict")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, map_location="cpu", weights_only=True)
    found = load_checkpoint(path)
    assert "easydict" not in sys.modules
    assert found["train_state"] == {"next_log_step": 5, "total_time": 2.5, "inner": {"a": 1}}
    for name in ("p", "tied", "empty", "bool", "scalar"):
        assert torch.equal(found[name], content[name].detach())
        assert found[name].dtype == content[name].dtype
    assert all(torch.equal(found["EMA_generator"][key], value) for key, value in STATE.items())


@pytest.mark.parametrize("zipped", [True, False])
def test_harmless_name_does_not_cover_a_call(zipped, tmp_path, easydict, marker):
    easydict.EasyDict.__reduce_ex__ = lambda self, _: (os.system, (f"touch {marker}",))
    path = tmp_path / "x.ckpt"
    torch.save({"train_state": easydict.EasyDict(a=1)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpoint, match="system"):
        load_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["RetinaFace_mobilenet025.pth", "mobilefacenet_068.ckpt"])
def test_inert_reader_agrees_with_torch_on_published_files(name):
    from dp2.weights.formats.inert_torch import read_arrays, read_inert
    from dp2.weights.formats.torch_files import tensor_of

    path = SHARED / "data" / "weights" / name
    if not path.exists():
        pytest.skip(f"../shared/data/weights/{name} is absent")
    ours, theirs = read_inert(path, tensor_of), torch.load(path, map_location="cpu", weights_only=True)
    ours, theirs = ours.get("net_state_dict", ours), theirs.get("net_state_dict", theirs)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())
    arrays = read_arrays(path)
    assert all(np.array_equal(arrays.get("net_state_dict", arrays)[key], value) for key, value in theirs.items())


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_arrays_are_read_without_torch(ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    tensors = {"plain": torch.randn(3, 4), "half": torch.randn(5).half(), "count": torch.tensor(7)}
    if ending == "pth":
        tensors |= {"turned": torch.randn(3, 4).T[1:], "bfloat16": torch.randn(6).bfloat16(), "none": torch.empty(0, 2)}
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    found = load_arrays(path)
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        expected = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        assert np.array_equal(found[name], expected.numpy())
    code = "import sys, pathlib; from dp2.weights.readers import load_arrays; load_arrays(pathlib.Path(sys.argv[1]))"
    told = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)", path], capture_output=True, text=True
    )
    assert told.stdout == "False\n", told.stderr


numeric = st.one_of(hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(sizes=(16, 32, 64)))


@settings(max_examples=60, deadline=None)
@given(
    array=numeric.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))),
    protocol=st.integers(0, 5),
    fortran=st.booleans(),
)
def test_numeric_arrays_survive_every_pickle_protocol(array, protocol, fortran, tmp_path_factory):
    array = np.asfortranarray(array) if fortran and array.ndim else array
    path = tmp_path_factory.mktemp("arrays") / "x.pkl"
    path.write_bytes(pickle.dumps({"model": {"w": array}, "__author__": "x"}, protocol))
    found = read_detectron2(path)["model"]["w"].numpy()
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array)


def test_python2_pickle_of_the_model_zoo(tmp_path):
    # Protocol 2 as Python 2 wrote it: bytes and texts are both BINSTRING, to be read as latin-1.
    raw = np.array([1.5, -2.0], "<f4").tobytes()

    def text(data: bytes) -> bytes:
        return b"U" + bytes([len(data)]) + data

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\n" + text(b"f4") + b"K\x00K\x01\x87R(K\x03" + text(b"<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + text(raw) + b"tb"
    )  # fmt: skip
    path = tmp_path / "model_final.pkl"
    path.write_bytes(
        b"\x80\x02}(" + text(b"model") + b"}" + text(b"w") + array + b"s" + text(b"__author__") + text(b"d2") + b"u."
    )
    found = load_checkpoint(path)
    assert found["__author__"] == "d2"
    assert found["model"]["w"].tolist() == [1.5, -2.0]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_only_raise_our_errors(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    form = data.draw(st.sampled_from(["pickle", "zip", "legacy", "safetensors"]))
    path = folder / "x"
    if form == "pickle":
        path.write_bytes(pickle.dumps({"model": {"w": np.arange(4.0)}}, data.draw(st.integers(0, 5))))
    elif form == "safetensors":
        from safetensors.torch import save_file

        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=form == "zip")
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(WeightsError):
        load_checkpoint(path)


def test_other_files_are_named_as_such(tmp_path):
    with pytest.raises(MissingWeights):
        load_checkpoint(tmp_path / "absent")
    for data in (b"", b"<html>not found</html>", b"PK\x03\x04 and no more", (8).to_bytes(8, "little") + b"{nonsense"):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(UnreadableCheckpoint):
            load_checkpoint(tmp_path / "x")
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(UnreadableCheckpoint, match="model"):
        load_checkpoint(tmp_path / "x.pkl")


def test_onnx_is_checked(tmp_path):
    import onnx

    path = packaged("dp2", "weights/files/centerface.onnx")
    assert path is not None
    assert read_onnx(path) == path.read_bytes()
    (tmp_path / "x.onnx").write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(UnreadableCheckpoint):
        read_onnx(tmp_path / "x.onnx")
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    (tmp_path / "y.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsafeCheckpoint, match="other files"):
        read_onnx(tmp_path / "y.onnx")
