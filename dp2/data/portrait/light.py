"""Cameras, light and files that a portrait may have been through."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]


def photographed(picture: Picture, rng: np.random.Generator) -> Picture:
    """(H, W, 3) uint8 RGB in other light, out of another camera, from another file; chance comes from `rng`."""
    pixels: Floats = picture.astype(np.float32) / np.float32(255)
    if rng.random() < 0.8:
        pixels = _developed(pixels, rng)
    if rng.random() < 0.3:
        pixels = _lit_from_the_side(pixels, rng)
    if rng.random() < 0.04:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, 2)
    pixels = _blurred(pixels, rng)
    if rng.random() < 0.25:
        pixels = pixels + rng.normal(0, rng.uniform(0.004, 0.03), pixels.shape).astype(np.float32)
    result: Picture = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.35:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        result = np.asarray(cv2.imdecode(cv2.imencode(".jpg", result, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return result


def _developed(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Exposure, white balance, contrast, saturation, gamma."""
    pixels = pixels * np.exp(rng.normal(0, 0.17)) * np.exp(rng.normal(0, 0.06, 3))
    mean = pixels.mean()
    pixels = (pixels - mean) * np.exp(rng.normal(0, 0.15)) + mean
    grey = pixels.mean(2, keepdims=True)
    pixels = grey + (pixels - grey) * np.clip(np.exp(rng.normal(-0.12, 0.3)), 0, 1.6)
    developed: Floats = (np.clip(pixels, 0, 1) ** np.exp(rng.normal(0, 0.2))).astype(np.float32)
    return developed


def _lit_from_the_side(pixels: Floats, rng: np.random.Generator) -> Floats:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.45)
    lit: Floats = (pixels * (1 + strength * (x * np.cos(angle) + y * np.sin(angle)))[..., None]).astype(np.float32)
    return lit


def _blurred(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Far away (few pixels), out of focus, moving; most pictures stay sharp."""
    height, width = pixels.shape[:2]
    kind = rng.random()
    if kind < 0.3:
        side = max(12, int(width * rng.uniform(0.15, 0.9)))
        small = cv2.resize(pixels, (side, side * height // width), interpolation=cv2.INTER_AREA)
        how = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(small, (width, height), interpolation=how), np.float32)
    if kind < 0.45:
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 0.02 * width)), np.float32)
    if kind < 0.5:
        length = int(rng.integers(3, max(4, width // 14)))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), float(rng.uniform(0, 180)), 1)
        kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
        return np.asarray(cv2.filter2D(pixels, -1, kernel / max(kernel.sum(), 1e-6)), np.float32)
    return pixels
