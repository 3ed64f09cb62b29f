"""Pictures as callers hold them (numpy, PIL, torch) to RGB arrays and back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.types import Image

_WITH_ALPHA = ("RGBA", "LA", "PA")


def unwrap(picture: Any) -> tuple[Image, Callable[[Image], Any]]:
    """A picture as RGB, and a function that turns a result of that size into the caller's kind again.

    Args:
        picture: numpy (H, W, 3) or (H, W) uint8; PIL of any mode; torch (3, H, W) uint8 or float in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB (never to be written to), and the way back.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(picture, np.ndarray):
        return _from_numpy(picture)
    pil, torch = sys.modules.get("PIL.Image"), sys.modules.get("torch")
    if pil is not None and isinstance(picture, pil.Image):
        return _from_pil(picture)
    if torch is not None and isinstance(picture, torch.Tensor):
        return _from_torch(picture)
    raise UsageError(f"cannot anonymize a {type(picture).__name__}; pass a numpy array, PIL image or torch tensor.")


def _from_numpy(array: np.ndarray[Any, Any]) -> tuple[Image, Callable[[Image], Any]]:
    if array.dtype != np.uint8 or 0 in array.shape:
        raise UsageError(f"a numpy picture must be uint8 and not empty, not {array.dtype} {array.shape}.")
    if array.ndim == 3 and array.shape[2] == 3:
        return np.ascontiguousarray(array), lambda image: image
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2), _luma
    raise UsageError(f"a numpy picture must be (H, W, 3) or (H, W), not {array.shape}.")


def _from_pil(picture: Any) -> tuple[Image, Callable[[Image], Any]]:
    from PIL import Image as Pil

    mode = picture.mode
    if 0 in picture.size or mode == "La":
        raise UsageError(f"cannot anonymize a PIL image of mode {mode} and size {picture.size}; convert it first.")
    if mode in ("I", "F") or mode.startswith("I;"):
        return _from_deep_pil(picture)
    rgb = np.asarray(picture.convert("RGB"))

    def back(image: Image) -> Any:
        fresh = Pil.fromarray(image)
        if mode in _WITH_ALPHA:
            fresh.putalpha(picture.getchannel("A"))
        if mode == "P":
            fresh = fresh.quantize(palette=picture, dither=Pil.Dither.NONE)
        elif mode != fresh.mode:
            fresh = fresh.convert(mode)
        if mode == "PA":  # its palette is new
            return fresh
        out = picture.copy()
        out.info = {key: value for key, value in picture.info.items() if key == "transparency"}  # no EXIF, no thumbnail
        # Only what is new: few modes come back from RGB as they were.
        out.paste(fresh, mask=Pil.fromarray((image != rgb).any(axis=2)))
        return out

    return rgb, back


def _from_deep_pil(picture: Any) -> tuple[Image, Callable[[Image], Any]]:
    """Greyscale of more than 8 bits, or of floats in [0, 1] or [0, 255]."""
    from PIL import Image as Pil

    mode, values = picture.mode, np.array(picture)
    low, high = float(values.min()), float(values.max())
    steps = (1.0, 255.0) if mode == "F" else tuple(float(2**bits - 1) for bits in range(8, 17))
    white = next((step for step in steps if high <= step), None)
    if white is None or not low >= 0:
        raise UsageError(f"a PIL image of mode {mode} must hold 0 to {steps[-1]:g}, not {low:g} to {high:g}.")
    grey = np.rint(values.astype(np.float64) * (255 / white)).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)

    def back(image: Image) -> Any:
        out = values.copy()
        changed = (image != rgb).any(axis=2)
        out[changed] = _luma(image)[changed] * (white / 255)  # the rest stays exact
        return Pil.frombytes(mode, picture.size, out.tobytes())

    return rgb, back


def copied(picture: Any) -> Any:
    """The picture in memory of its own."""
    copy = getattr(picture, "clone", None) or getattr(picture, "copy", None)
    return picture if copy is None else copy()


def alpha_of(picture: Any) -> NDArray[np.uint8] | None:
    """(H, W) uint8, the alpha channel of a PIL image; None for all else."""
    if getattr(picture, "mode", None) not in _WITH_ALPHA or not hasattr(picture, "getchannel"):
        return None
    return np.asarray(picture.getchannel("A"))


def with_alpha(picture: Any, alpha: NDArray[np.uint8]) -> Any:
    """A PIL image with another alpha channel of the same size."""
    from PIL import Image as Pil

    mode = picture.mode
    picture.putalpha(Pil.fromarray(alpha))
    return picture if picture.mode == mode else picture.convert(mode)


def _from_torch(tensor: Any) -> tuple[Image, Callable[[Image], Any]]:
    import torch

    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise UsageError(f"a torch picture must be (3, H, W), not {tuple(tensor.shape)}.")
    floating = tensor.dtype.is_floating_point
    if not floating and tensor.dtype != torch.uint8:
        raise UsageError(f"a torch picture must be uint8 or float in [0, 1], not {tensor.dtype}.")
    if 0 in tensor.shape:
        raise UsageError(f"a torch picture must not be empty, not {tuple(tensor.shape)}.")
    tensor = tensor.detach()
    if floating and not (float(tensor.min()) >= 0 and float(tensor.max()) <= 1):
        raise UsageError("a float torch picture must lie in [0, 1].")
    whole = (tensor.float() * 255).round().to(torch.uint8) if floating else tensor
    rgb = np.ascontiguousarray(whole.permute(1, 2, 0).cpu().numpy())

    def back(image: Image) -> Any:
        out = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).contiguous()
        if not floating:
            return out.to(tensor.device)
        changed = (out != torch.from_numpy(rgb).permute(2, 0, 1)).to(tensor.device)
        return torch.where(changed, out.to(tensor.device, tensor.dtype) / 255, tensor)  # the rest stays exact

    return rgb, back


def _luma(image: Image) -> Image:
    # ITU-R BT.601, as PIL's "L"; equal channels give back their value exactly.
    weighted = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)
