"""What a build says of itself: counts, and sheets of what was kept and what was dropped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dp2.data.builder.cut import REASONS
from dp2.data.builder.selection import Chosen, Selection
from dp2.data.crop_record import parse_record
from dp2.data.crop_shards import TRAIN, VALIDATION, StoredCrop
from dp2.data.pictures import decode_mask, decode_rgb
from dp2.data.sheet import Tile, crop_tile, write_sheet

_TILES = 48


def write_report(folder: Path, selection: Selection, detector: dict[str, Any]) -> dict[str, Any]:
    """Write dataset.json, report.md and the sheets into a finished set.

    Returns:
        what dataset.json holds.
    """
    sheets = {"kept.png": selection.kept}
    for reason in REASONS:
        if reason in selection.dropped:
            sheets[f"dropped-{reason.replace(' ', '-')}.png"] = selection.dropped[reason]
    shown = [name for name, rows in sheets.items() if _write_rows(folder / name, rows)]
    values = _values(selection, detector)
    (folder / "report.md").write_text(_markdown(values, shown), encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return values


def _values(selection: Selection, detector: dict[str, Any]) -> dict[str, Any]:
    from dp2 import __version__

    settings = selection.settings
    groups = {split: selection.groups(split) for split in (TRAIN, VALIDATION)}
    return {
        "version": 1,
        "kind": settings.kind,
        "size": settings.size,
        "context": settings.context,
        "samples": {split: sum(groups[split].values()) for split in groups},
        "groups": groups,
        "files": selection.files,
        "pictures": selection.pictures,
        "dropped": selection.counts(),
        "unreadable": [
            {"source": file.name if settings.names else file.hashed, "why": text if settings.names else "unreadable"}
            for file, text in selection.unreadable
        ],
        "settings": {**settings.cutting(), "max_same": settings.max_same, "validation": settings.validation,
                     "seed": settings.seed, "limit": settings.limit},
        "detector": detector,
        "dp2": __version__,
    }  # fmt: skip


def _markdown(values: dict[str, Any], sheets: Sequence[str]) -> str:
    kept = sum(values["samples"].values())
    found = kept + sum(values["dropped"].values())
    groups = values["groups"]
    names = sorted({*groups[TRAIN], *groups[VALIDATION]})
    lines = [
        "# What became of the photos and videos",
        "",
        f"{values['files']} files, {values['pictures']} pictures, {found} found, {kept} kept "
        f"({values['samples'][TRAIN]} to train, {values['samples'][VALIDATION]} to validate).",
        "",
        "| dropped because | crops |",
        "|---|---|",
        *(f"| {reason} | {count} |" for reason, count in values["dropped"].items()),
        f"| file unreadable | {len(values['unreadable'])} files |",
        "",
        "| group | to train | to validate |",
        "|---|---|---|",
        *(f"| {name} | {groups[TRAIN].get(name, 0)} | {groups[VALIDATION].get(name, 0)} |" for name in names),
    ]
    for sheet in sheets:
        lines += ["", f"![{sheet}]({sheet})"]
    return "\n".join(lines) + "\n"


def _write_rows(path: Path, rows: Sequence[Chosen]) -> bool:
    """A sheet of some rows, spread evenly; False if there is no picture of any."""
    stored = [item for item in rows if item.row.picture is not None]
    step = max(1, -(-len(stored) // _TILES))
    tiles = [_tile(item) for item in stored[::step]]
    if tiles:
        write_sheet(path, tiles, columns=8)
    return bool(tiles)


def _tile(item: Chosen) -> Tile:
    row = item.row
    names = [name for name in (row.picture, row.mask) if name is not None]
    picture, *rest = item.part.read(names)
    mask = decode_mask(rest[0], str(item.part.tar)) if rest else None
    crop = StoredCrop(parse_record(row.record, str(item.part.tar)), decode_rgb(picture, str(item.part.tar)), mask)
    return crop_tile(crop)
