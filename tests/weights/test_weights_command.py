from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dp2.cli.commands.weights import weights
from dp2.weights import registry
from dp2.weights.needs import ready_anonymizers, weights_of


@pytest.fixture
def run(tmp_path, monkeypatch, server):
    """The command with an empty home and the test server as its only mirror."""
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DP2_TIMEOUT", "5")
    monkeypatch.setenv("DP2_MIRROR", server.url(""))
    monkeypatch.delenv("DP2_WEIGHTS", raising=False)
    monkeypatch.delenv("DP2_OFFLINE", raising=False)

    def call(*arguments: object, code: int = 0) -> str:
        result = CliRunner().invoke(weights, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        return result.output

    return call


@pytest.fixture
def config(tmp_path) -> Path:
    """An anonymizer that names one checkpoint itself and others through the configs it refers to."""
    folder = tmp_path / "configs"
    (folder / "fdf").mkdir(parents=True)
    (folder / "fdf" / "stylegan.py").write_text('generator = dict(width=64)\nweights = "facenet/vggface2"\n')
    face = folder / "face.py"
    face.write_text(
        'detector = dict(kind="x", weights="facenet/casia_webface")\n'
        f"synthesizer = dict(parts=[dict(generator_config={str(folder / 'fdf' / 'stylegan.py')!r})])\n"
        'path = "weights/elsewhere.py"\n'
    )
    return face


def test_needs_are_found_in_the_tree_and_in_referred_configs(config):
    assert weights_of(config) == ("facenet/casia_webface", "facenet/vggface2")


def test_face_needs_its_detector_and_its_generator():
    assert weights_of("face") == ("dsfd", "fdf/stylegan")
    assert "face" not in ready_anonymizers(lambda _: None)
    assert "face" in ready_anonymizers(lambda _: Path("here"))


def test_redaction_works_without_any_checkpoint():
    ready = ready_anonymizers(lambda _: None)
    assert "face_blur" in ready
    assert "face_solid" in ready


def test_fetch_for_a_config_shows_licences_then_fetches_all(run, config, server, content):
    for file in ("20180402-114759-vggface2.pt", "20180408-102900-casia-webface.pt"):
        server.answers[f"/{file}"] = server.serve(content)
    refused = run("fetch", config, code=2)
    assert "licence: MIT (code)" in refused
    assert "no checksum is published" in refused
    assert "--yes" in refused
    assert server.requests == []
    output = run("fetch", config, "--yes")
    assert output.count("no checksum is published; pin it") == 4
    assert len(server.requests) == 2
    assert Path(run("path", "facenet/vggface2").strip()).read_bytes() == content
    assert run("fetch", config).startswith("facenet/casia_webface: /")
    assert len(server.requests) == 2


def test_verify_pins_and_then_guards(run, server, content):
    server.answers["/20180402-114759-vggface2.pt"] = server.serve(content)
    run("fetch", "facenet/vggface2", "-y")
    assert "verify facenet/vggface2 --pin" in run("verify", "facenet/vggface2")
    run("verify", "--pin", code=2)
    assert "as pinned" in run("verify", "facenet/vggface2", "--pin")
    Path(run("path", "facenet/vggface2").strip()).write_bytes(b"other")
    assert "FAILED" in run("verify", code=1)


def test_wrong_file_from_the_mirror_is_refused(run, server, content, tmp_path, monkeypatch):
    entry = registry.find("fdf/stylegan")
    server.answers[f"/{entry.file}"] = server.serve(content)
    monkeypatch.setattr(registry, "entries", lambda: {"fdf/stylegan": registry.Entry(**{**vars(entry), "urls": ()})})
    assert "holds another file" in run("fetch", "fdf/stylegan", "-y", code=1)
    assert not (tmp_path / "home" / "weights" / entry.file).exists()


def test_missing_path_names_what_to_do(run):
    output = run("path", "dsfd", code=1)
    for fact in (
        "WIDERFace_DSFD_RES152.pth",
        "https://folk.ntnu.no/",
        "Apache-2.0",
        "dp2 weights fetch dsfd",
        "face_blur",
    ):
        assert fact in output


def test_unknown_name_is_a_usage_error(run):
    assert "neither a checkpoint" in run("fetch", "no_such_thing", code=2)
    assert "no checkpoint is called" in run("path", "no_such_thing", code=2)


def test_list_knows_every_row(run):
    rows = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [row["name"] for row in rows] == list(registry.entries())
    assert next(row for row in rows if row["name"] == "centerface")["path"].endswith("centerface.onnx")
    text = run("list")
    assert "fdf/stylegan " in text
    assert "non-commercial" in text


def test_import_converts_a_file_once(run, tmp_path):
    source = tmp_path / "model.pkl"
    source.write_bytes(pickle.dumps({"model": {"w": np.ones(2)}}))
    assert run("import", source).strip() == str(tmp_path / "model.safetensors")
    assert "--overwrite" in run("import", source, code=1)
    source.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert "Nothing of it was executed" in run("import", source, "--overwrite", code=1)
