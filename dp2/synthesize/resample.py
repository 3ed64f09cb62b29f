"""Resizing as the published pipeline does it, and better where that is asked for."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from dp2.geometry.bodies import nearest as nearest
from dp2.types import Image


def resize_face(image: NDArray[np.generic], size: tuple[int, int], visible: tuple[int, int]) -> Image:
    """Area down and antialiased bicubic up, as FDF was made.

    Args:
        image: (H, W, 3) uint8, padded where it leaves the frame.
        size: (height, width) of the result.
        visible: (height, width) of the part inside the frame, which decides between up and down.
    """
    if image.shape[:2] == size:
        return np.ascontiguousarray(image, np.uint8)
    if visible[0] * visible[1] < size[0] * size[1]:
        return bicubic(image, size)
    shrunk: Image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return shrunk


def resize_portrait(image: NDArray[np.generic], size: tuple[int, int], visible: tuple[int, int]) -> Image:
    """As `resize_face`, without torch."""
    if visible[0] * visible[1] >= size[0] * size[1] or image.shape[:2] == size:
        return resize_face(image, size, visible)
    return np.clip(np.rint(light_bicubic(image, size)), 0, 255).astype(np.uint8)


def resize_image(image: NDArray[np.generic], size: tuple[int, int], visible: tuple[int, int]) -> Image:
    """Antialiased bicubic, but nearest where both visible sides grow; arguments as of `resize_face`."""
    if image.shape[:2] == size:
        return np.ascontiguousarray(image, np.uint8)
    if visible[0] < size[0] and visible[1] < size[1]:
        return np.ascontiguousarray(nearest(image, size), np.uint8)
    return bicubic(image, size)


def bicubic(image: NDArray[np.generic], size: tuple[int, int]) -> Image:
    """Antialiased bicubic, rounded and clamped; (H, W, 3) to uint8."""
    return np.clip(np.rint(bicubic_float(image, size)), 0, 255).astype(np.uint8)


def bicubic_float(image: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.float32]:
    """Antialiased bicubic (a = -0.5 widened with the factor when shrinking, as PIL and torch); (H, W, 3) float32."""
    import torch
    from torch.nn.functional import interpolate

    planes = torch.from_numpy(np.ascontiguousarray(image).astype(np.float32)).permute(2, 0, 1)[None]
    resized = interpolate(planes, size=size, mode="bicubic", antialias=True, align_corners=False)
    out: NDArray[np.float32] = resized[0].permute(1, 2, 0).contiguous().numpy()
    return out


def light_bicubic(image: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.float32]:
    """The same by Pillow, for where torch is not loaded. Up to 0.005 off, so not exactly what is published."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    resized = [np.asarray(Pil.fromarray(plane).resize(size[::-1], Pil.Resampling.BICUBIC)) for plane in planes]
    return np.stack(resized, axis=-1)
