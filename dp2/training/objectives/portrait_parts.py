"""What the training of the portrait generator begins with: frozen features, and a larger generator from a smaller."""

from __future__ import annotations

import torch
from torch import nn

from dp2.errors import CheckpointMismatch
from dp2.models.folding import folded
from dp2.models.portrait.critics import FrozenFeatures
from dp2.models.portrait.unet import PortraitUnet
from dp2.weights.loading import generator_state, load_checkpoint, load_strict, network_state
from dp2.weights.store import Store

_DETECTOR = "retinaface/mobilenet"
_BY_LEVEL = ("down", "encode_more", "decoder", "to_rgb", "up")


def frozen_features(*, weights: str = _DETECTOR, enlarge: int = 1, scale: tuple[float, ...]) -> FrozenFeatures:
    """RetinaFace's backbone with its published weights.

    Args:
        weights: of RetinaFace MobileNet-0.25: a name of the registry, or a file.
        enlarge: see `FrozenFeatures`.
        scale: factor on each level, one over the standard deviation of its features.

    Raises:
        MissingWeights: they are not on this machine.
        CheckpointMismatch: the file holds another network.
    """
    from dp2.models.faces.retinaface import rename_published

    path = Store().path(weights)
    state = rename_published(network_state(load_checkpoint(path), str(path)))
    features = FrozenFeatures(enlarge=enlarge)
    body = {key.removeprefix("body."): value for key, value in state.items() if key.startswith("body.")}
    load_strict(features.body, body, ("stage3.*", "fc.*"), str(path))
    features.body = folded(features.body.eval())
    features.scale.copy_(torch.tensor(scale))
    return features


def grown(*, generator: PortraitUnet, weights: str) -> PortraitUnet:
    """A generator whose inner levels begin as those of another with half its resolution.

    Args:
        generator: changed in place.
        weights: of the smaller one: a name of the registry, or a file.

    Raises:
        MissingWeights: they are not on this machine.
        CheckpointMismatch: they are not of such a network.
    """
    path = Store().path(weights)
    smaller, _ = generator_state(load_checkpoint(path), str(path))
    state = generator.state_dict()
    given = {_moved_down(key): value for key, value in smaller.items() if not key.startswith("stem.")}
    wrong = [key for key, value in given.items() if key not in state or state[key].shape != value.shape]
    if wrong:
        raise CheckpointMismatch(f"{path}: is of no generator that this one can grow from: {', '.join(wrong[:5])}.")
    load_strict(generator, {**state, **{key: value.float() for key, value in given.items()}}, source=str(path))
    with torch.no_grad():
        nn.init.zeros_(generator.to_rgb[0].weight)  # type: ignore[arg-type]  # begins as the smaller one, enlarged
    return generator


def begun(*, network: nn.Module, weights: str) -> nn.Module:
    """A network that begins with given weights instead of random ones.

    Raises:
        CheckpointMismatch: they are not of such a network.
    """
    path = Store().path(weights)
    state = network_state(load_checkpoint(path), str(path))
    load_strict(network, {key: value.float() for key, value in state.items()}, source=str(path))
    return network


def _moved_down(key: str) -> str:
    """The name of a part one level further from full resolution."""
    name, _, rest = key.partition(".")
    level, _, rest_of = rest.partition(".")
    return f"{name}.{int(level) + 1}.{rest_of}" if name in _BY_LEVEL else key
