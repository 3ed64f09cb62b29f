"""Reduced parity cases of DeepPrivacy1 and TriaGAN: small widths, weights seeded by their published names.

The expected outputs come from the plain forward passes below, written from the published equations, one operation
after the other, in float64; the networks under test fold and reorder them. Run from the root of the repository:

    python tests/data/make_keypoint_generators.py
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from math import sqrt
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

HERE = Path(__file__).parent


def normal(key: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal values that depend on nothing but a name."""
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def deep_privacy1_weight(key: str, shape: tuple[int, ...]) -> Tensor:
    return (0.1 if key.endswith("bias") else 1.0) * normal(key, shape)


def triagan_weight(key: str, shape: tuple[int, ...]) -> Tensor:
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "resample_filter":
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        return torch.outer(taps, taps) / 64
    if leaf == "bias":
        centre = 1.0 if key.endswith("affine.bias") else 0.0
        return centre + (10.0 if ".fc" in key else 0.1) * normal(key, shape)
    if leaf == "layer_scale":
        return 0.7 + 0.1 * normal(key, shape)
    factor = {"w_avg": 0.5, "noise_strength": 0.2, "weight": 100.0 if "style_net" in key else 1.0}.get(leaf, 1.0)
    return factor * normal(key, shape)


def seeded(shapes: Mapping[str, tuple[int, ...]], rule: Callable[[str, tuple[int, ...]], Tensor]) -> dict[str, Tensor]:
    """A state dict of these published names and shapes."""
    return {key: rule(key, tuple(shape)) for key, shape in shapes.items()}


def inputs(batch: int, height: int, width: int, points: int, z_channels: int) -> dict[str, Tensor]:
    """A picture with a hole in its middle, and every condition, from names."""
    mask = torch.ones(batch, 1, height, width)
    mask[:, :, height // 4 : -height // 4, width // 4 : -width // 4] = 0
    keypoints = normal("keypoints", (batch, points, 3)).sigmoid()
    keypoints[..., 2] = (keypoints[..., 2] > 0.4).float()
    silhouette = torch.zeros_like(mask)
    silhouette[:, :, height // 3 : -height // 3, width // 3 : -width // 3] = 1
    return {
        "condition": normal("condition", (batch, 3, height, width)).tanh() * mask,
        "mask": mask,
        "z": normal("z", (batch, z_channels)),
        "keypoints": keypoints,
        "joint_map": (normal("joints", (batch, 1, height, width)) * 3).round().clamp(0, 6).to(torch.uint8),
        "silhouette": silhouette,
    }


def deep_privacy1_plain(s: Mapping[str, Tensor], x: Mapping[str, Tensor]) -> Tensor:
    """Every operation of the published network in its published order."""

    def conv(name: str, v: Tensor) -> Tensor:
        weight = s[f"{name}.weight"]
        return F.conv2d(v, weight / sqrt(weight[0].numel()), s[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def conv_act(name: str, v: Tensor) -> Tensor:
        v = F.leaky_relu(conv(name, v), 0.2)
        return v * torch.rsqrt(v.square().mean(1, keepdim=True) + 1e-7)

    def block(name: str, v: Tensor) -> Tensor:
        return conv_act(f"{name}.layers.3", conv_act(f"{name}.layers.0", v))

    condition, mask = x["condition"], x["mask"]
    v = conv_act("from_rgb.0", torch.cat((condition, mask, 1 - mask), 1))
    features = {}
    for size in (128, 64, 32, 16, 8, 4):
        v = features[size] = block(f"encoder.basic_block{size}", v if size == 128 else F.avg_pool2d(v, 2))
    pose = x["keypoints"][:, :, :2].flatten(1).clamp(-1, 1) * 2 - 1
    for i in (1, 3):
        weight = s[f"decoder.pose_fcnn.pose_preprocessor.{i}.weight"]
        bias = s[f"decoder.pose_fcnn.pose_preprocessor.{i}.bias"]
        pose = F.leaky_relu(F.linear(pose, weight / sqrt(weight.shape[1]), bias), 0.2)
    v = torch.cat((v, x["z"].view(-1, 32, 4, 4), pose.view(-1, 16, 4, 4)), 1)
    rgb = torch.zeros_like(condition[:, :, :2, :2])
    for size in (4, 8, 16, 32, 64, 128):
        if size > 4:
            v = torch.cat((F.interpolate(v, scale_factor=2, mode="nearest"), features[size]), 1)
            v = conv_act(f"decoder.skip_connection{size}.conv.layers.0", v)
        v = block(f"decoder.basic_block{size}", v)
        rgb = F.interpolate(rgb, scale_factor=2, mode="nearest") + conv(f"rgb_convolutions.{size}", v)
    return condition * mask + (1 - mask) * rgb / 6


def triagan_plain(s: Mapping[str, Tensor], x: Mapping[str, Tensor], levels: int, conditions: int) -> Tensor:
    """Every operation of the published network in its published order; two blocks a level, two in the middle."""

    def linear(name: str, v: Tensor, lr: float = 1.0) -> Tensor:
        return F.linear(v, s[f"{name}.weight"] * lr / sqrt(v.shape[1]), s[f"{name}.bias"] * lr)

    def conv(name: str, v: Tensor, gain: float = 1.0, normed: bool = True) -> Tensor:
        if normed:
            v = F.instance_norm(v, eps=1e-5)
            if f"{name}.affine.weight" in s:
                v = v * linear(f"{name}.affine", w)[..., None, None] + linear(f"{name}.affine_beta", w)[..., None, None]
            v = F.leaky_relu(v, 0.2) * sqrt(2)
        weight = s[f"{name}.weight"] * gain / sqrt(v.shape[1] * s[f"{name}.weight"].shape[-1] ** 2)
        bias = s[f"{name}.bias"] * gain if f"{name}.bias" in s else None
        v = F.conv2d(v, weight, bias, padding=weight.shape[-1] // 2)
        return v + s[f"{name}.noise_const"] * s[f"{name}.noise_strength"] if f"{name}.noise_const" in s else v

    def block(name: str, v: Tensor, gain: float) -> Tensor:
        y = conv(f"{name}.conv1", conv(f"{name}.conv0", v), gain)
        return conv(f"{name}.skip", v, gain, normed=False) + y * s.get(f"{name}.layer_scale", 1)

    def resample(v: Tensor, up: bool) -> Tensor:
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=v.dtype)
        kernel = (torch.outer(taps, taps) / 64).expand(v.shape[1], 1, 4, 4)
        if not up:
            return F.conv2d(v, kernel, stride=2, padding=1, groups=v.shape[1])
        spread = torch.zeros(*v.shape[:2], 2 * v.shape[2], 2 * v.shape[3], dtype=v.dtype)
        spread[:, :, ::2, ::2] = v * 4
        return F.conv2d(F.pad(spread, (2, 1, 2, 1)), kernel, groups=v.shape[1])

    w = x["z"] * torch.rsqrt(x["z"].square().mean(1, keepdim=True) + 1e-8)
    for name in ("style_net.fc0", "style_net.fc1"):
        w = F.leaky_relu(linear(name, w, 0.01), 0.2) * sqrt(2)
    mask, height, width = x["mask"], *x["mask"].shape[-2:]
    points = torch.zeros(len(mask), x["keypoints"].shape[1], height, width, dtype=mask.dtype)
    for n, k in np.ndindex(points.shape[:2]):
        px, py, seen = x["keypoints"][n, k].tolist()
        if round(seen):
            points[n, k, min(max(round(py * height), 0), height - 1), min(max(round(px * width), 0), width - 1)] = 1
    limbs = torch.stack([x["joint_map"][:, 0] == i for i in range(1, 7)], 1).to(mask)
    planes = torch.cat((x["condition"], mask, 1 - mask, 1 - x["silhouette"], x["silhouette"], points, limbs), 1)
    fan_in = (4 + conditions) * 49
    v = F.conv2d(planes, s["from_rgb.weight"] / sqrt(fan_in), s["from_rgb.bias"], padding=3)
    features = []
    for level in reversed(range(levels)):
        v = v if level == levels - 1 else resample(v, up=False)
        for i in range(2):
            v = block(f"encoder.layers.{level}.{i}", v, sqrt(1 / 2))
        features.insert(0, v)
    for i in range(2):
        v = block(f"decoder.middle_blocks.{i}", v, sqrt(1 / 2))
    for level in range(levels):
        if level:
            v = resample(v, up=True) + conv(f"decoder.unet_layers.{level}.0", features[level], sqrt(1 / 3))
        v = block(f"decoder.layers.{level}.0", v, sqrt(1 / 3) if level else sqrt(1 / 2))
        v = block(f"decoder.layers.{level}.1", v, sqrt(1 / 2))
    painted = conv("decoder.to_rgb", v, normed=False)
    return x["condition"] * mask + (1 - mask) * painted


DP1 = {"width": 16}
TRIAGAN = {
    "resolution": (36, 20),
    "width": 8,
    "multipliers": (1, 2, 2),
    "keypoints": range(5),
    "joint_map": True,
    "silhouette": True,
    "layer_scale": True,
    "z_channels": 16,
    "w_channels": 32,
}


def double(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.double() if v.is_floating_point() else v for k, v in tensors.items()}


def main() -> None:
    from dp2.models.deep_privacy1 import DeepPrivacy1
    from dp2.models.triagan import TriaGAN

    shapes = {k: tuple(v.shape) for k, v in DeepPrivacy1(**DP1).state_dict().items()}
    x = inputs(2, 128, 128, 7, 512)
    dp1 = deep_privacy1_plain(double(seeded(shapes, deep_privacy1_weight)), double(x))
    shapes = {k: tuple(v.shape) for k, v in TriaGAN(**TRIAGAN).state_dict().items()}
    x = inputs(2, 36, 20, 5, 16)
    triagan = triagan_plain(double(seeded(shapes, triagan_weight)), double(x), levels=3, conditions=3)
    # every third row and column of the larger one keeps the file small
    arrays = {"deep_privacy1": dp1[:, :, ::3, ::3], "triagan": triagan}
    np.savez_compressed(
        HERE / "keypoint_generators.npz", **{k: v.numpy().astype(np.float32) for k, v in arrays.items()}
    )


if __name__ == "__main__":
    main()
