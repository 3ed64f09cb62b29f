"""Reduced cases of crops and a whole anonymized picture, so that they are checked without ../shared.

Geometry and crops are a part of ../shared/parity: a few faces and bodies whose surroundings fit into small pictures
cut out of its image, where all coordinates are moved alike; of the crops every fifth pixel is kept. The whole picture
is painted by the plain equations of `make_stylegan_cases.py` in float64, with every step from region to pixel written
out with torch's own operators. Run from the root:

    python tests/data/make_inpaint_cases.py
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import interpolate

HERE = Path(__file__).parent
PARITY = HERE.parents[2] / "shared" / "parity"
STEP = 5  # of the kept pixels
FACES = ((30, 24, 70, 70), (60, 50, 96, 90), (-6, 60, 16, 90))  # overlapping, and one that leaves the picture
SIZE = 32


def stylegan_cases() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_stylegan_cases", HERE / "make_stylegan_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scene() -> np.ndarray:
    """(96, 112, 3) uint8: waves of several lengths, and a little noise."""
    y, x = np.mgrid[:96, :112]
    waves = [np.sin(x / 7 + y / 11), np.cos(x / 5 - y / 17), np.sin((x + 2 * y) / 23)]
    noise = np.random.RandomState(0).normal(0, 4, (96, 112, 3))
    return np.clip(128 + 90 * np.dstack(waves) + noise, 0, 255).astype(np.uint8)


def plain_square(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """1.4 times the longer side around the centre."""
    x0, y0, x1, y1 = box
    half = int(max(x1 - x0, y1 - y0) * 1.4 // 2)
    x, y = x0 + (x1 - x0) // 2, y0 + (y1 - y0) // 2
    return x - half, y - half, x + half, y + half


def plain_picture(cases: ModuleType) -> np.ndarray:
    """`scene()` with `FACES` painted over in the order of their areas; truncation 1, latents 11, 18, 25."""
    from dp2.models.stylegan.unet import StyleGANUnet

    settings = cases.GENERATORS["face"]
    network = cases.Plain(cases.seeded(cases.shapes_of(StyleGANUnet(**settings))))
    canvas = torch.from_numpy(scene()).permute(2, 0, 1).float()
    for place, face in enumerate(sorted(FACES, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))):
        canvas = painted(canvas, face, network, settings, 11 + 7 * place)
    return canvas.byte().permute(1, 2, 0).numpy()


def painted(canvas: torch.Tensor, face: tuple[int, int, int, int], network: Any, settings: Any, index: int) -> Any:
    x0, y0, x1, y1 = plain_square(face)
    side, (height, width) = x1 - x0, canvas.shape[1:]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    crop = torch.zeros(3, side, side)
    crop[:, top - y0 : bottom - y0, left - x0 : right - x0] = canvas[:, top:bottom, left:right]
    assert side > SIZE, "this plain path knows only how to shrink"
    small = interpolate_area(crop)
    hole = torch.zeros(1, 1, SIZE, SIZE)
    a, b, c, d = (max(0, int((v - o) * (SIZE / side))) for v, o in zip(face, (x0, y0, x0, y0), strict=True))
    hole[:, :, b:d, a:c] = 1
    condition = (small[None] - 127.5) / 127.5 * (1 - hole)
    z = torch.from_numpy(np.random.RandomState(index).normal(size=(1, settings["z_channels"])).astype(np.float32))
    image = network.generator(settings, {"condition": condition, "mask": 1 - hole, "z": z}).float()
    image = ((image + 1) / 2).clamp(0, 1) * 255
    image = interpolate(image, (side, side), mode="bicubic", antialias=True, align_corners=False)[0]
    image = image.round().clamp(0, 255)[:, top - y0 : bottom - y0, left - x0 : right - x0]
    shown = interpolate(hole, (side, side), mode="nearest")[0, :, top - y0 : bottom - y0, left - x0 : right - x0]
    out = canvas.clone()
    out[:, top:bottom, left:right] = torch.where(shown > 0, image, canvas[:, top:bottom, left:right])
    return out


def interpolate_area(crop: torch.Tensor) -> torch.Tensor:
    import cv2

    shrunk = cv2.resize(crop.permute(1, 2, 0).byte().numpy(), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(shrunk).permute(2, 0, 1).float()


def published() -> dict[str, np.ndarray]:
    """Crops of ../shared/parity with as much of its picture as they see."""
    tensors = {key: value.numpy() for key, value in load_file(PARITY / "pipeline.safetensors").items()}
    meta = json.loads((PARITY / "pipeline.json").read_text())["meta"]
    out: dict[str, np.ndarray] = {}
    rows = meta["face_box_expansion"][:40]
    out["faces"] = np.array([[*r["box"], *r["imshape_hw"], *r["fdf128"], *r["fdf256"]] for r in rows], np.int32)
    # name, place in the published order, the picture: corners that the crop does not cross lie where the frame's do.
    windows = {
        "face256/0": (180, 180, 240, 240),
        "face256/2": (0, 0, 90, 90),
        "face128/0": (180, 180, 240, 240),
        "person/0": (360, 10, 440, 120),
        "person/1": (0, 0, 150, 140),
        "person_kp/0": (360, 10, 440, 120),
    }
    masks = tensors["segmentation"]
    kept = [int(r) for r in np.argsort(masks.sum((1, 2)), kind="stable") if meta["person_box_expansion"][r]["kept"]]
    for name, (x0, y0, x1, y1) in windows.items():
        case, place = name.split("/")
        out[f"{x0}_{y0}_{x1}_{y1}"] = tensors["image"][:, y0:y1, x0:x1].transpose(1, 2, 0)
        crop = {k.rpartition("/")[2]: v[0] for k, v in tensors.items() if k.startswith(f"{case}/crops/{place}/")}
        out[f"{name}/window"] = np.array([x0, y0, x1, y1], np.int32)
        out[f"{name}/box"] = crop["boxes"].astype(np.int32) - [x0, y0, x0, y0]
        out[f"{name}/image"] = crop["img"].transpose(1, 2, 0)[::STEP, ::STEP]
        out[f"{name}/keep"] = crop["mask"][0, ::STEP, ::STEP].astype(bool)
        if case.startswith("face"):
            out[f"{name}/face"] = tensors[f"{case}/boxes"][int(place)].astype(np.float32) - [x0, y0, x0, y0]
            continue
        row = kept[int(place)]
        out[f"{name}/mask"] = masks[row, y0:y1, x0:x1]
        if case == "person_kp":
            out[f"{name}/points"] = tensors["person_kp/kps"][row] - np.array([x0, y0, 0], np.float32)
            out[f"{name}/joint_map"] = crop["joint_map"][0, ::STEP, ::STEP].astype(np.uint8)
    return out


def main() -> None:
    cases = stylegan_cases()
    with torch.no_grad():
        whole = plain_picture(cases)
    np.savez_compressed(HERE / "inpaint_cases.npz", picture=whole, **published())


if __name__ == "__main__":
    main()
