"""Reduced parity cases of the StyleGAN U-Net, the StyleGAN2 discriminator and their operators.

Weights and inputs follow from names; the expected outputs come from the plain passes below, written from the
published equations in float64 with every zero inserted and every filter tap applied, where the networks under test
skip, fold and reorder. A few of the operator cases of ../shared/parity are kept as they are. Run from the root:

    python tests/data/make_stylegan_cases.py
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

HERE = Path(__file__).parent
PARITY = HERE.parents[2] / "shared" / "parity"

GENERATORS: dict[str, dict[str, Any]] = {
    "face": {"resolution": (32, 32), "width": 4, "max_multiplier": 2, "z_channels": 8, "w_channels": 8},
    "body": {"resolution": (48, 32), "width": 4, "embedding_channels": 3, "z_channels": 8, "w_channels": 8},
    "body_old": {"resolution": (48, 32), "width": 4, "linear_skip": False, "z_channels": 8, "w_channels": 8},
}
DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "critic": {"resolution": (16, 16), "width": 4},
    "critic_body": {"resolution": (36, 20), "width": 4, "max_multiplier": 2},
}


def normal(key: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal values that depend on nothing but a name."""
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def seeded(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A state dict of these names and shapes whose activations stay of the order of one."""

    def value(key: str, shape: tuple[int, ...]) -> Tensor:
        leaf = key.rsplit(".", 1)[-1]
        if leaf == "resample_filter":
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
            return torch.outer(taps, taps) / 64
        if leaf == "bias":
            centre = 1.0 if key.endswith("affine.bias") else 0.0
            return centre + (10.0 if "style_net" in key else 0.1) * normal(key, shape)
        if leaf == "w_avg":
            return 0.5 * normal(key, shape)
        return (100.0 if "style_net" in key else 1.0) * normal(key, shape)

    return {key: value(key, tuple(shape)) for key, shape in shapes.items()}


def inputs(settings: Mapping[str, Any], batch: int = 2) -> dict[str, Tensor]:
    """A picture with a hole in its middle, a latent, and an embedding where the network takes one."""
    height, width = settings["resolution"]
    mask = torch.ones(batch, 1, height, width)
    mask[:, :, height // 4 : -height // 4, width // 4 : -width // 4] = 0
    x = {"condition": normal("condition", (batch, 3, height, width)).tanh() * mask, "mask": mask}
    x["image"] = normal("image", (batch, 3, height, width)).tanh()
    x["z"] = normal("z", (batch, settings.get("z_channels", 8)))
    if settings.get("embedding_channels"):
        x["embedding"] = normal("embedding", (batch, settings["embedding_channels"], height, width)) * (1 - mask)
    return x


class Plain:
    """The published networks, one textbook operation after the other."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = {key: value.double() for key, value in state.items()}

    def low_pass(self, x: Tensor, before: int, after: int) -> Tensor:
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
        kernel = (torch.outer(taps, taps) / 64).expand(x.shape[1], 1, 4, 4)
        return F.conv2d(F.pad(x, [before, after, before, after]), kernel, groups=x.shape[1])

    def double(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        zeros = x.new_zeros(n, c, 2 * h, 2 * w)
        zeros[:, :, ::2, ::2] = 4 * x
        return self.low_pass(zeros, 2, 1)

    def linear(self, name: str, x: Tensor, rate: float = 1.0) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return x @ weight.t() * (rate / sqrt(weight.shape[1])) + rate * self.state[f"{name}.bias"]

    def conv(
        self, name: str, x: Tensor, *, up: bool = False, down: bool = False, act: bool = True, norm: bool = False,
        gain: float = 1.0, clamp: float | None = 256.0, w: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        if w is not None:
            scale, shift = self.linear(f"{name}.affine", w), self.linear(f"{name}.affine_beta", w)
            x = x * scale[:, :, None, None] + shift[:, :, None, None]
        weight = self.state[f"{name}.weight"]
        pad = weight.shape[-1] // 2
        weight = weight / sqrt(weight[0].numel())
        if up:
            # wide zeros around, so that the order of filter and convolution is of no matter at the border
            wide = F.conv2d(self.double(F.pad(x, [2] * 4)), weight.flip([2, 3]), padding=pad)
            x = wide[:, :, 4:-4, 4:-4]
        elif down and pad:
            x = F.conv2d(self.low_pass(x, 2, 2), weight, stride=2)
        elif down:
            x = F.conv2d(self.low_pass(x, 1, 1)[:, :, ::2, ::2], weight)
        else:
            x = F.conv2d(x, weight, padding=pad)
        if norm:
            mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
            x = (x - mean) / (variance + 1e-5).sqrt()
        if f"{name}.bias" in self.state:
            x = x + self.state[f"{name}.bias"][None, :, None, None]
        x = gain * (sqrt(2) * torch.where(x > 0, x, 0.2 * x) if act else x)
        return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)

    def block(self, name: str, x: Tensor, linear_skip: bool, up: bool = False, down: bool = False, **kw: Any) -> Tensor:
        gain = kw.pop("gain", sqrt(0.5))
        skip = self.conv(f"{name}.skip", x, up=up, down=down, act=not linear_skip, gain=gain, clamp=None)
        y = self.conv(f"{name}.conv0", x, down=down, **kw)
        return skip + self.conv(f"{name}.conv1", y, up=up, gain=gain, **kw)

    def generator(self, settings: Mapping[str, Any], x: Mapping[str, Tensor]) -> Tensor:
        linear_skip = settings.get("linear_skip", True)
        condition, mask, z = x["condition"].double(), x["mask"].double(), x["z"].double()
        w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
        for name in ("style_net.fc0", "style_net.fc1"):
            w = sqrt(2) * F.leaky_relu(self.linear(name, w, 0.01), 0.2)
        extra = [x["embedding"].double()] if "embedding" in x else []
        y = self.conv("from_rgb", torch.cat([condition, mask, *extra], 1), clamp=None)
        levels = sum(key.endswith("skip.weight") and key.startswith("encoder") for key in self.state)
        features = []
        for level in range(levels):
            y = self.block(f"encoder.{level}", y, linear_skip, down=level > 0)
            features.append(y)
        for step in range(levels):
            if step:
                gain = sqrt(1 / 3) if linear_skip else sqrt(1 / 2)
                y = y + self.conv(f"unet_block{step}", features[-1 - step], norm=True, gain=gain)
            y = self.block(f"decoder.{step}", y, linear_skip, up=step < levels - 1, norm=True, gain=sqrt(1 / 3), w=w)
        return condition * mask + self.conv("to_rgb", y, act=False) * (1 - mask)

    def discriminator(self, x: Mapping[str, Tensor]) -> Tensor:
        y = torch.cat([x["image"], x["condition"], x["mask"]], 1).double()
        y = self.conv("from_rgb.conv1", self.conv("from_rgb.conv0", y))
        for level in range(sum(key.endswith("skip.weight") for key in self.state)):
            y = self.block(f"layers.{level}", y, False, down=level > 0)
        spread = (y.var(0, unbiased=False) + 1e-8).sqrt().mean()
        y = torch.cat([y, spread.expand(len(y), 1, *y.shape[2:])], 1)
        y = self.conv("output_layer.conv", y).flatten(1)
        y = sqrt(2) * F.leaky_relu(self.linear("output_layer.fc", y), 0.2)
        return self.linear("output_layer.out", y)


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def reduced_ops() -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Stored operator calls, one sample of each (and a few channels where channels do not mix)."""
    stored = load_file(PARITY / "ops.safetensors")
    tensors, kept = {}, []
    for call in json.loads((PARITY / "ops.json").read_text())["meta"]["cases"]:
        channels = 2 if call["op"] == "upfirdn2d" else None
        for key in (call["args"]["x"], call["output"]):
            tensors[key] = stored[key][:1, :channels].contiguous()
        for name in ("f", "w", "b"):
            key = call["args"].get(name)
            if key is not None:
                tensors[key] = stored[key]
        kept.append(call)
    return tensors, kept


def main() -> None:
    from dp2.models.stylegan.discriminator import StyleGAN2Discriminator
    from dp2.models.stylegan.unet import StyleGANUnet

    tensors, calls = reduced_ops()
    with torch.no_grad():
        for name, settings in GENERATORS.items():
            plain = Plain(seeded(shapes_of(StyleGANUnet(**settings))))
            tensors[f"{name}/output"] = plain.generator(settings, inputs(settings)).float()
        for name, settings in DISCRIMINATORS.items():
            plain = Plain(seeded(shapes_of(StyleGAN2Discriminator(**settings))))
            tensors[f"{name}/output"] = plain.discriminator(inputs(settings)).float()
    save_file(tensors, HERE / "stylegan_cases.safetensors", metadata={"ops": json.dumps(calls)})


if __name__ == "__main__":
    main()
