"""Where weights are kept and fetched from, as the environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dp2.errors import UsageError

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


@dataclass(frozen=True)
class Settings:
    """Paths and rules of the weight store.

    Attributes:
        home: dp2's own folder; fetched files lie in `home/weights`.
        folders: searched before it; dp2 never writes there.
        mirror: base URL tried before the published ones, the file's name is appended.
        offline: never use the network.
        timeout: seconds without an answer or a byte after which a mirror is given up.
    """

    home: Path
    folders: tuple[Path, ...] = ()
    mirror: str | None = None
    offline: bool = False
    timeout: float = 30.0

    @property
    def cache(self) -> Path:
        """Where fetched files lie."""
        return self.home / "weights"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read `DP2_HOME`, `DP2_WEIGHTS`, `DP2_MIRROR`, `DP2_OFFLINE` and `DP2_TIMEOUT`.

        Raises:
            UsageError: one of them cannot be understood.
        """
        home = environment.get("DP2_HOME")
        folders = environment.get("DP2_WEIGHTS", "").split(os.pathsep)
        mirror = environment.get("DP2_MIRROR", "").strip()
        if mirror and not mirror.startswith(("http://", "https://")):
            raise UsageError(f"DP2_MIRROR={mirror} is not a http(s) URL; name a folder in DP2_WEIGHTS instead.")
        return cls(
            home=Path(home).expanduser() if home else _platform_cache(),
            folders=tuple(Path(folder).expanduser() for folder in folders if folder),
            mirror=mirror or None,
            offline=_switch("DP2_OFFLINE", environment.get("DP2_OFFLINE", "")),
            timeout=_seconds("DP2_TIMEOUT", environment.get("DP2_TIMEOUT", "30")),
        )


def _platform_cache() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("dp2"))


def _switch(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise UsageError(f"{name}={text} is neither 1 nor 0.")
    return word in _TRUE


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{name}={text} is not a number of seconds above 0.")
    return value
