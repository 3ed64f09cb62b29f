"""`dp2 serve` on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dp2.cli import main
from dp2.errors import UsageError
from dp2.web.auth import Tokens, is_loopback, read_credentials


def test_help_is_light() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom dp2.cli import main\n"
        "assert CliRunner().invoke(main, ['serve', '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'numpy', 'fastapi', 'uvicorn', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_addresses_need_a_password(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DP2_WEB_AUTH", raising=False)
    result = CliRunner().invoke(main, ["serve", "--host", host])
    assert result.exit_code == 2
    assert "--auth" in result.output


def test_taken_port_is_said_in_one_line(guarded) -> None:
    result = CliRunner().invoke(main, ["serve", "--port", guarded.host.rpartition(":")[2]])
    assert result.exit_code == 2
    assert "choose another --port" in result.output


def test_password_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("anna:correct horse\n", encoding="utf-8")
    monkeypatch.setenv("DP2_WEB_AUTH", "otto:battery staple")
    for text, user in ((f"@{tmp_path / 'secret'}", "anna"), (None, "otto"), ("eva:long enough", "eva")):
        credentials = read_credentials(text)
        assert credentials is not None
        assert credentials.user == user
        assert credentials.password not in repr(credentials)


@pytest.mark.parametrize("text", ["anna", "anna:", "anna:short", ":correct horse", "@/no/such/file"])
def test_unusable_passwords_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_credentials(text)


def test_only_own_tokens_are_valid() -> None:
    tokens, others = Tokens(), Tokens()
    token = tokens.issue()
    assert tokens.valid(token)
    for forged in (others.issue(), token[:-1], "", ".", "x.y", token + "é"):
        assert not tokens.valid(forged)


def test_loopback_is_told_from_other_addresses() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "10.0.0.1", "localhost.example", "::"))
