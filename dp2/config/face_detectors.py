"""Face detectors by name: those of `configs/anonymizers/_face.py`, put into the place of a config's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dp2.config.walk import children
from dp2.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from dp2.synthesize.verifier import FaceVerifier

_SHELF = "anonymizers/_face"
_SHARED = ("device", "engine")  # names that the shelf's nodes refer to


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
    from omegaconf import DictConfig

    for key, child in children(node):
        if not isinstance(child, DictConfig):
            continue
        if _network(child) in targets:
            yield node, str(key)
        else:
            yield from _places(child, targets)


def _network(node: DictConfig) -> str:
    """The class of a detector, that of the inner one if it runs in several passes."""
    from omegaconf import DictConfig

    while "scales" in node and isinstance(inner := dict(children(node)).get("detector"), DictConfig):
        node = inner
    return str(node.get("_target_"))


def centerface_verifier(*, engine: str = "auto", device: str = "auto", threshold: float = 0.5) -> FaceVerifier:
    """Looks at painted faces with CenterFace, whatever finds the faces of the run and with whatever settings."""
    from dp2.detect.faces.centerface import CenterFace
    from dp2.synthesize.verifier import FaceVerifier

    return FaceVerifier(
        detector=CenterFace(score_threshold=threshold, engine=engine, device=device), threshold=threshold
    )
