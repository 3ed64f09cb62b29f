"""Face detectors by name: those of `configs/anonymizers/_face.py`, put into the place of a config's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dp2.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from dp2.synthesize.judge import FaceJudge

_SHELF = "anonymizers/_face"
_SHARED = ("device", "engine")  # names that the shelf's nodes refer to
_MULTISCALE = "dp2.detect.multiscale.MultiScale"


def use_face_detector(tree: DictConfig, name: str) -> None:
    """Replace every face detector of a loaded config, in place.

    Args:
        tree: what `dp2.config.load_config` gave.
        name: a key of `detectors` in `_face.py`, e.g. "dsfd".

    Raises:
        MissingExtra: it needs a package that is not installed.
        UsageError: no detector is called so, or the config has no face detector.
    """
    from dp2.config import load_config
    from dp2.weights.needs import check_extras

    shelf = load_config(_SHELF)
    if name not in shelf.detectors:
        raise UsageError(f"no face detector is called {name}; there are {', '.join(map(str, shelf.detectors))}.")
    targets = {_network(node) for node in shelf.detectors.values()}
    check_extras(shelf.detectors[name], name)
    places = list(_places(tree, targets))
    if not places:
        raise UsageError(f"this anonymizer has no face detector that {name} could replace.")
    for parent, key in places:
        parent[key] = shelf.detectors[name]
    for shared in _SHARED:
        if shared not in tree:
            tree[shared] = shelf[shared]


def _places(node: DictConfig, targets: set[str]) -> Iterator[tuple[DictConfig, str]]:
    """Where in a tree face detectors stand; interpolations are not followed."""
    from omegaconf import DictConfig, OmegaConf

    for key in map(str, node):
        if OmegaConf.is_interpolation(node, key):
            continue
        child = node._get_node(key)
        if not isinstance(child, DictConfig) or child._is_none():
            continue
        if _network(child) in targets:
            yield node, key
        else:
            yield from _places(child, targets)


def _network(node: DictConfig) -> str:
    """The class of a detector, that of the inner one if it runs in several passes."""
    from omegaconf import DictConfig, OmegaConf

    while node.get("_target_") == _MULTISCALE and not OmegaConf.is_interpolation(node, "detector"):
        inner = node.get("detector")
        if not isinstance(inner, DictConfig):
            break
        node = inner
    return str(node.get("_target_"))


def centerface_judge(*, engine: str = "auto", device: str = "auto", threshold: float = 0.5) -> FaceJudge:
    """Looks at painted faces with CenterFace, whatever finds the faces of the run and with whatever settings."""
    from dp2.detect.centerface import CenterFace
    from dp2.synthesize.judge import FaceJudge

    return FaceJudge(detector=CenterFace(score_threshold=threshold, engine=engine, device=device), threshold=threshold)
