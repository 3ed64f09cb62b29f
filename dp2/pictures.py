"""Pictures as callers hold them (numpy, PIL, torch) to RGB arrays and back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from dp2.errors import UsageError
from dp2.types import Image


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

    rgb = np.asarray(picture.convert("RGB"))

    def back(image: Image) -> Any:
        out = Pil.fromarray(image)
        if picture.mode in ("RGBA", "LA", "PA"):
            out.putalpha(picture.getchannel("A"))
        return out if out.mode == picture.mode else out.convert(picture.mode)

    return rgb, back


def _from_torch(tensor: Any) -> tuple[Image, Callable[[Image], Any]]:
    import torch

    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise UsageError(f"a torch picture must be (3, H, W), not {tuple(tensor.shape)}.")
    floating = tensor.dtype.is_floating_point
    if not floating and tensor.dtype != torch.uint8:
        raise UsageError(f"a torch picture must be uint8 or float in [0, 1], not {tensor.dtype}.")
    if floating and not (float(tensor.min()) >= 0 and float(tensor.max()) <= 1):
        raise UsageError("a float torch picture must lie in [0, 1].")
    whole = (tensor.detach().float() * 255).round().to(torch.uint8) if floating else tensor.detach()
    rgb = np.ascontiguousarray(whole.permute(1, 2, 0).cpu().numpy())

    def back(image: Image) -> Any:
        out = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).contiguous()
        if not floating:
            return out.to(tensor.device)
        changed = (out != torch.from_numpy(rgb).permute(2, 0, 1)).to(tensor.device)
        return torch.where(changed, out.to(tensor.device, tensor.dtype) / 255, tensor.detach())  # the rest stays exact

    return rgb, back


def _luma(image: Image) -> Image:
    # ITU-R BT.601, as PIL's "L"; equal channels give back their value exactly.
    weighted = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)
