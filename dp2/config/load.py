"""Configurations are Python files whose top-level names are calls not made yet.

    from dp2.config import L
    from dp2.detect.faces.centerface import CenterFace
    detector = L(CenterFace)(score_threshold=0.2)

`load_config` runs such a file and gives an OmegaConf tree (nodes are dicts with `_target_`, as in hydra);
`build` makes the calls with `hydra.utils.instantiate`. Loading a config runs its code: open none you do not trust.
"""

from __future__ import annotations

import difflib
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dp2.config.walk import children
from dp2.errors import ConfigError
from dp2.extras import extra_of, missing_extra
from dp2.failures import said
from dp2.plain_yaml import parse_yaml

if TYPE_CHECKING:
    from omegaconf import DictConfig

_PACKAGE = "_dp2_config"


def L(target: type | Callable[..., Any] | str) -> Callable[..., Any]:  # noqa: N802  (the name the field knows)
    """A call to be made later: `L(Class)(argument=value)` is a node of the config tree.

    Args:
        target: a class or function, or its dotted name where importing it would import torch.

    Raises:
        ConfigError: the target cannot be named from outside, e.g. a lambda.
    """
    name = target if isinstance(target, str) else f"{target.__module__}.{target.__qualname__}"
    if "<" in name or name.startswith(_PACKAGE):
        raise ConfigError(f"{name} cannot be named in a config; define it at the top level of an importable module.")

    def call(**arguments: Any) -> Any:
        from omegaconf import OmegaConf

        return OmegaConf.create({"_target_": name, **arguments}, flags={"allow_objects": True})

    return call


def load_config(path_or_name: str | os.PathLike[str], overrides: Sequence[str] = ()) -> DictConfig:
    """Run a config file and apply `key.path=value` overrides.

    Args:
        path_or_name: a `.py` file, or the name of one that comes with dp2 (`face`, `traditional/face/gaussian`,
            `configs/fdf/stylegan.py`).
        overrides: `a.b=value`, the value in YAML's notation. An unknown key is an error; `+a.b=value` adds one.

    Returns:
        the tree of the file's public top-level names: nodes, dicts, lists, numbers, texts.

    Raises:
        ConfigError: no such config, its code fails (its own line is named), or an override names no key.
    """
    from omegaconf import OmegaConf

    path = find_config(path_or_name)
    names = _run(path)
    config = OmegaConf.create(
        {key: value for key, value in names.items() if not key.startswith("_") and _is_data(value)},
        flags={"allow_objects": True},
    )
    for override in overrides:
        apply_override(config, override)
    return config


def build(node: Any) -> Any:
    """Make the calls of a node, innermost first.

    Raises:
        MissingExtra: a target needs a package of one of dp2's extras.
        ConfigError: the node is no call, or a target does not exist or does not take its arguments.
    """
    import hydra.errors
    import hydra.utils

    from dp2.errors import Dp2Error

    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except hydra.errors.InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:  # hydra wraps what a constructor raises; our own errors already say it better
            if isinstance(cause, Dp2Error):
                raise cause from error
            if isinstance(cause, ModuleNotFoundError) and (extra := extra_of(cause)) is not None:
                raise missing_extra(_named(node), extra) from error
            cause = cause.__cause__
        raise ConfigError(f"the config cannot be built: {' '.join(str(error).split())}") from error
    except (Dp2Error, KeyboardInterrupt):
        raise
    except BaseException as error:  # hydra lets through what is no Exception, e.g. SystemExit
        raise ConfigError(f"the config cannot be built: {said(error)}") from error


def _named(node: Any) -> str:
    """What a node builds, for people."""
    target = node.get("_target_") if isinstance(node, Mapping) or hasattr(node, "get") else None
    return str(target).rpartition(".")[2] if target else "this config"


def find_config(path_or_name: str | os.PathLike[str]) -> Path:
    """The file of a config given by path or by name.

    Raises:
        ConfigError: there is none; the nearest names are given.
    """
    text = os.fspath(path_or_name)
    path = Path(text)
    # Only .py: whatever lies in the folder under a config's bare name, a download perhaps, is not run.
    if path.suffix == ".py" and path.is_file():
        return path.resolve()
    name = Path(text).as_posix().removesuffix(".py").removeprefix("configs/")
    for root in config_roots():
        for candidate in (root / f"{name}.py", root / "anonymizers" / f"{name}.py"):
            if candidate.is_file():
                return candidate.resolve()
    near = difflib.get_close_matches(name, config_names(), n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else f" Known anonymizers: {', '.join(config_names())}."
    raise ConfigError(f"there is no config {text}.{hint}")


def config_roots() -> tuple[Path, ...]:
    """Where configs are looked for by name: a checkout's `configs/`, else the copy inside the wheel."""
    package = Path(__file__).resolve().parents[1]
    return tuple(root for root in (package.parent / "configs", package / "_configs") if (root / "anonymizers").is_dir())


def config_names() -> list[str]:
    """Names of all anonymizers that come with dp2, as the command line takes them."""
    found: set[str] = set()
    for root in config_roots():
        base = root / "anonymizers"
        found |= {file.relative_to(base).with_suffix("").as_posix() for file in base.rglob("*.py")}
    return sorted(name for name in found if not Path(name).name.startswith("_"))


def apply_override(config: DictConfig, override: str) -> None:
    """Set one `a.b=value` in place.

    Raises:
        ConfigError: it is not of this form, or the key does not exist (the nearest one is named).
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    key, separator, text = override.partition("=")
    adds = key.startswith("+")
    key = key.removeprefix("+").strip()
    if not separator or not key:
        raise ConfigError(f"override {override!r} is not of the form key.path=value.")
    try:
        value = parse_yaml(text) if text.strip() else ""
        if value is None and text.strip().startswith("#"):
            value = text.strip()  # a colour, not a comment
    except ValueError as error:
        raise ConfigError(f"the value of override {override[:100]!r} is not valid YAML ({error}).") from error
    try:
        if adds:
            OmegaConf.update(config, key, value, merge=False, force_add=True)
        else:
            set_key(config, key, value)
    except (OmegaConfBaseException, TypeError, AttributeError, ValueError, LookupError) as error:
        raise ConfigError(f"override {override[:100]!r} does not fit the config: {said(error)}") from error


def set_key(config: DictConfig, key: str, value: Any) -> None:
    """Replace the value of an existing `a.b.c` in place.

    Raises:
        ConfigError: there is no such key (the nearest one is named), or the value is a text where a number is needed.
    """
    from omegaconf import OmegaConf

    known = list(key_paths(config))
    if key not in known:
        known += _parameters(config, key)
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
        raise ConfigError(f"the config has no key {key}; the nearest is {near[0] if near else 'none'}.")
    _check_number(config, key, value)
    OmegaConf.update(config, key, value, merge=False, force_add=True)


def _check_number(config: DictConfig, key: str, value: Any) -> None:
    """A whole number stays one: what else a key takes cannot be seen in the config."""
    from omegaconf import OmegaConf

    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if OmegaConf.is_interpolation(node, name):
        return
    old = OmegaConf.select(config, key)
    number = isinstance(old, int) and not isinstance(old, bool)
    if number and isinstance(value, str) and not value.startswith("${"):
        raise ConfigError(f"{key} must be a number such as {old}, not {value!r}.")


def _parameters(config: DictConfig, key: str) -> list[str]:
    """Keys beside `key` that the call there takes, though the config leaves them at their defaults."""
    import inspect

    import hydra.utils
    from omegaconf import DictConfig, OmegaConf

    parent = key.rpartition(".")[0]
    node = OmegaConf.select(config, parent) if parent else None
    if not isinstance(node, DictConfig) or "_target_" not in node:
        return []
    parameters = inspect.signature(hydra.utils.get_object(node._target_)).parameters
    return [f"{parent}.{name}" for name in parameters if name != "self" and not name.startswith("_")]


def key_paths(config: DictConfig) -> Iterator[str]:
    """Every `a.b.c` of a tree, interpolations not followed."""
    from omegaconf import DictConfig

    yield from (str(key) for key in config if key != "_target_")
    for key, child in children(config):
        if isinstance(child, DictConfig):
            yield from (f"{key}.{below}" for below in key_paths(child))


def _is_data(value: Any) -> bool:
    """Modules, classes and functions are a config's tools, not its content."""
    from omegaconf import Container

    return isinstance(value, (Container, Mapping, list, tuple, str, bytes, int, float, bool, Path)) or value is None


def _run(path: Path) -> dict[str, Any]:
    """The namespace of a config file, run afresh: nodes are mutable, so nothing is shared between two loads."""
    root = _root_of(path)
    module_name = ".".join([_PACKAGE, *path.relative_to(root).with_suffix("").parts])
    with _namespace(root):
        loader = importlib.machinery.SourceFileLoader(module_name, str(path))
        spec = importlib.util.spec_from_loader(module_name, loader)
        if spec is None:
            raise ConfigError(f"{path} cannot be loaded as Python.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            loader.exec_module(module)
        except (ConfigError, KeyboardInterrupt):
            raise
        except SyntaxError as error:
            shown = (error.text or "").strip()
            raise ConfigError(f"{error.filename}, line {error.lineno}: {error.msg}: {shown}") from error
        except ModuleNotFoundError as error:
            extra = extra_of(error)
            if extra is not None:
                raise missing_extra(path.stem, extra) from error
            raise ConfigError(f"{_where(error, root)}: {said(error)}") from error
        except BaseException as error:  # a config that exits has not said what to do
            raise ConfigError(f"{_where(error, root)}: {said(error)}") from error
    return vars(module)


def _root_of(path: Path) -> Path:
    """Relative imports reach up to the folder called `configs` above a file, else to the file's own folder."""
    for parent in path.parents:
        if parent.name in ("configs", "_configs"):
            return parent
    return path.parent


@contextmanager
def _namespace(root: Path) -> Iterator[None]:
    """A package over `root` for the time of one load, so that `from ..defaults import x` works anywhere on disk."""
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(root)]
    sys.modules[_PACKAGE] = package
    wrote_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # a config's folder may be read-only
    try:
        yield
    finally:
        sys.dont_write_bytecode = wrote_bytecode
        for name in [name for name in sys.modules if name == _PACKAGE or name.startswith(_PACKAGE + ".")]:
            del sys.modules[name]


def _where(error: BaseException, root: Path) -> str:
    """File and line of the config (not of a library) in which an error arose."""
    place, trace = str(root), error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if Path(file).is_relative_to(root):
            place = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place
