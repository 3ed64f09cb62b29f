"""Who is left as he is, as options of the command line, of `load_anonymizer` and of programs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from dp2.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from dp2.anonymizer import Anonymizer

_CHOOSING = "dp2.choose.choosing.Choosing"
_RULES = "dp2.choose.rules.Rules"
_RECOGNITION = "dp2.choose.recognition.Recognition"
_STICKERS = "dp2.synthesize.face_stickers.FaceStickers"
_REDACTION = "dp2.synthesize.redact.Redaction"
_SOLID = "dp2.synthesize.fills.Solid"
_EXACTLY = {"shape": "mask", "mask_scale": 1.0, "mask_growth": 0.0, "feather": 0.0}
_RULE_NAMES = ("exclude", "include", "skip", "min_size", "always")


@dataclass(frozen=True, kw_only=True)
class ChoiceOptions:
    """Options of the choosing stage.

    Attributes:
        keep, only: as of `dp2.choose.recognition.Recognition`.
        matching: config of how faces are compared, in `configs/matching/`, by name or path.
        distance: up to which two faces are one person's; None = that of `matching`.
        exclude, include, skip, min_size, always: as of `dp2.choose.rules.Rules`.
        replace: folder of pictures that are laid over faces, see `dp2.synthesize.face_stickers.FaceStickers`.
    """

    keep: Sequence[str | os.PathLike[str]] = ()
    only: Sequence[str | os.PathLike[str]] = ()
    matching: str = "mobilefacenet"
    distance: float | None = None
    exclude: Sequence[Any] = ()
    include: Sequence[Any] = ()
    skip: Sequence[str] = ()
    min_size: float = 0.0
    always: Sequence[Any] = ()
    replace: str | os.PathLike[str] | None = None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Of all options."""
        return tuple(field.name for field in fields(cls))

    @property
    def chooses(self) -> bool:
        """Whether anything is left as it is, or changed without being found."""
        return bool(self.keep or self.only or any(getattr(self, name) for name in _RULE_NAMES))


def choose_in(tree: DictConfig, options: ChoiceOptions) -> None:
    """Put the options into a loaded config of an anonymizer, in place.

    Args:
        tree: what `dp2.config.load_config` gave.

    Raises:
        ConfigError: there is no such matching.
        UsageError: people are to be kept and others to be the only ones to change, or there are no faces to replace.
    """
    if options.keep and options.only:
        raise UsageError("--keep and --only exclude each other: everybody who is not kept is changed anyway.")
    if "anonymizer" not in tree:
        return  # building it says so
    if options.chooses:
        _set(tree, "chooser", _chooser(options))
    if options.always:
        _set(tree, "synthesizers.zone", {"_target_": _REDACTION, "fill": {"_target_": _SOLID}, **_EXACTLY})
    if options.replace is not None:
        if "face" not in tree.anonymizer.synthesizers:
            raise UsageError("--replace: this anonymizer does not change faces by themselves.")
        stickers = {"_target_": _STICKERS, "folder": os.fspath(options.replace), "seed": "${seed}"}
        _set(tree, "synthesizers.face", {**stickers, "faces": _matching(options).faces})


def choosing(anonymizer: Anonymizer, **options: Any) -> Anonymizer:
    """The same anonymizer with other choices; it stays as it is.

    Args:
        options: fields of `ChoiceOptions`, e.g. `keep=["family/"]`. They replace all choices that it makes.

    Raises:
        UsageError: there is no such option, or a reference picture cannot serve.
        MissingWeights: the embedding's checkpoint is not here.
    """
    from dp2.config import build, load_config

    unknown = sorted(set(options) - set(ChoiceOptions.names()))
    if unknown:
        raise UsageError(f"there is no choice {', '.join(unknown)}; there are {', '.join(ChoiceOptions.names())}.")
    given = ChoiceOptions(**options)
    tree = load_config("face_blur")
    choose_in(tree, given)
    added = ["zone"] * bool(given.always) + ["face"] * (given.replace is not None)
    made = {kind: build(tree.anonymizer.synthesizers[kind]) for kind in added}
    return replace(
        anonymizer,
        chooser=build(tree.anonymizer.chooser) if given.chooses else None,
        synthesizers={**anonymizer.synthesizers, **made},
    )


def _chooser(options: ChoiceOptions) -> dict[str, Any]:
    """The node of the chooser."""
    rules = {name: getattr(options, name) for name in _RULE_NAMES}
    node: dict[str, Any] = {"_target_": _CHOOSING, "rules": {"_target_": _RULES, **rules}}
    if options.keep or options.only:
        matching = _matching(options)
        if options.distance is not None:
            matching.distance = options.distance
        listed = {name: [os.fspath(path) for path in getattr(options, name)] for name in ("keep", "only")}
        node["people"] = {"_target_": _RECOGNITION, "matching": matching, **listed}
    return node


def _matching(options: ChoiceOptions) -> Any:
    from dp2.config import find_config, load_config

    name = options.matching
    return load_config(find_config(name if name.endswith(".py") else f"matching/{name}")).matching


def _set(tree: DictConfig, key: str, value: Any) -> None:
    from omegaconf import OmegaConf

    OmegaConf.update(tree, f"anonymizer.{key}", value, merge=False, force_add=True)
