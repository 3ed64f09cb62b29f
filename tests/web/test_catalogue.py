"""What the page offers, and that the first job finds it ready."""

from __future__ import annotations

import asyncio
import gc
import sys

import numpy as np
import pytest

from dp2.cli.inputs import DEFAULT_CONFIG
from dp2.web.service import Service
from dp2.web.workers.catalogue import offered
from dp2.web.workers.child import Line
from dp2.web.workers.tasks import Workshop, build


def test_page_and_command_line_have_the_same_default() -> None:
    assert Service.default == DEFAULT_CONFIG


def test_anonymizers_are_grouped_by_what_they_do() -> None:
    rows = {row["name"]: row for row in offered({"face_blur"})}
    groups = {name: row["group"] for name, row in rows.items()}
    assert groups["face_tiny"] == groups["face"] == groups["deep_privacy1"] == "New faces"
    assert groups["face_blur"] == groups["face_mosaic"] == "Covered faces"
    assert groups["body_light"] == groups["FB_cse"] == groups["FB_cse_mask_face"] == "Whole people"
    assert rows["market1501/person"]["rare"]
    assert [row["name"] for row in rows.values() if row["ready"]] == ["face_blur"]
    assert rows["face_tiny"]["picture"] == "tile_face_tiny.webp"
    assert rows["FB_cse"]["picture"] is None


def test_after_the_start_no_network_is_left_to_load(astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = Workshop("cpu")
    build(workshop, Line.__new__(Line), {"anonymizer": DEFAULT_CONFIG})

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network is loaded although the server has started")

    holders = [module for module in list(sys.modules.values()) if hasattr(module, "load_engine")]
    assert {module.__name__ for module in holders} >= {"dp2.inference.engine", "dp2.inference.lazy_engine"}
    for module in holders:
        monkeypatch.setattr(module, "load_engine", refuse)
    result = workshop.anonymizer(DEFAULT_CONFIG).anonymize(astronaut)
    assert result.changed == {"face": 1}
    assert not result.fallback


def test_server_that_stops_while_it_makes_the_list_leaves_no_error_behind() -> None:
    left: list[object] = []

    async def begin_and_stop() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
        service = Service(devices=())
        await service.start()
        await asyncio.sleep(0.2)
        assert service._listed is not None
        assert not service._listed.done()
        await service.stop()
        del service
        gc.collect()

    asyncio.run(begin_and_stop())
    assert left == []
