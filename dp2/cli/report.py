"""The closing line of a run and its machine-readable twin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dp2 import __version__
from dp2.result import Summary
from dp2.sink.atomic import atomic_path


@dataclass
class Record:
    """What became of one input.

    `status` is done, failed, skipped or stopped (by Ctrl-C); `misused` is whether it failed by wrong usage.
    """

    source: str
    target: str | None = None
    status: str = "done"
    error: str | None = None
    misused: bool = False
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    summary: Summary = field(default_factory=Summary)
    job: bool = False  # was among the inputs that could be tried

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        plain = {name: getattr(self, name) for name in ("source", "target", "status", "error")}
        return {**plain, "seconds": round(self.seconds, 3), "notes": list(self.notes), **self.summary.as_dict()}


@dataclass
class RunReport:
    """All inputs of a run."""

    config: str
    overrides: Sequence[str]
    records: list[Record] = field(default_factory=list)
    seconds: float = 0.0

    def total(self) -> Summary:
        """The sums over all inputs."""
        total = Summary()
        for record in self.records:
            total.merge(record.summary)
        return total

    def count(self, status: str) -> int:
        """How many inputs have this status."""
        return sum(record.status == status for record in self.records)

    def closing_line(self) -> str:
        """E.g. "3 done, 1 failed in 4.2 s (130 frames): 31 faces found, 31 changed", or "failed: 1 of 1 in 0.2 s"."""
        counts = {status: self.count(status) for status in ("done", "failed", "stopped", "skipped")}
        time = f"in {self.seconds:.1f} s"
        if not counts["done"]:  # no result, so no words about one
            words = [f"{status}: {count} of {len(self.records)}" for status, count in counts.items() if count]
            return f"{', '.join(words) or 'no input'} {time}"
        total = self.total()
        words = [f"{count} {status}" for status, count in counts.items() if count]
        return f"{', '.join(words)} {time} ({total.frames} {'frame' if total.frames == 1 else 'frames'}): {total}"

    def write(self, path: Path) -> None:
        """As JSON, replacing an earlier report.

        Raises:
            OutputError: it cannot be written.
        """
        report = {
            "dp2": __version__,
            "config": self.config,
            "overrides": list(self.overrides),
            "seconds": round(self.seconds, 3),
            "inputs": [record.as_dict() for record in self.records],
            "total": self.total().as_dict(),
        }
        with atomic_path(path, overwrite=True) as part:
            part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
