"""Who may use a server: a user name and a password, and signed session tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dp2.errors import UsageError

AUTH_VARIABLE = "DP2_WEB_AUTH"
_SHORTEST_PASSWORD = 8
_MINUTE = 60.0


@dataclass(frozen=True, repr=False)
class Credentials:
    """A user and a password. Compared in constant time; never shown."""

    user: str
    password: str

    def accepts(self, header: str | None) -> bool:
        """Whether an Authorization header (RFC 7617, Basic) names them."""
        given = b"" if header is None else _basic(header)
        wanted = f"{self.user}:{self.password}".encode()
        # Digests are of one length, so that the time tells nothing about the password's.
        return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(wanted).digest())


def read_credentials(text: str | None) -> Credentials | None:
    """From `user:password`, from the first line of a file given as `@path`, or from the environment.

    Raises:
        UsageError: not of that form, the file cannot be read, or the password is too short.
    """
    given = text or os.environ.get(AUTH_VARIABLE)
    if not given:
        return None
    if given.startswith("@"):
        try:
            lines = Path(given[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--auth {given}: the file cannot be read ({error}).") from error
        given = lines[0].strip() if lines else ""
    user, separator, password = given.partition(":")
    if not user or not separator:
        raise UsageError("--auth: give user:password, or @FILE with that on its first line.")
    if len(password) < _SHORTEST_PASSWORD:
        raise UsageError(f"--auth: the password needs at least {_SHORTEST_PASSWORD} characters.")
    return Credentials(user, password)


def is_loopback(address: str) -> bool:
    """Whether only programs of this machine can reach an address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@dataclass
class Attempts:
    """Wrong passwords of the last minute, by address, so that nobody tries them by the thousand.

    Attributes:
        allowed: a minute; an IPv6 network of 64 bits counts as one address, for it is given to one customer.
        clock: in seconds.
    """

    allowed: int = 20
    clock: Callable[[], float] = time.monotonic
    _wrong: dict[str, list[float]] = field(default_factory=dict)

    def too_many(self, address: str) -> bool:
        """Whether whoever is at this address has to wait."""
        return len(self._recent(_network(address))) >= self.allowed

    def count(self, address: str) -> None:
        """One more."""
        network = _network(address)
        self._wrong = {other: times for other in self._wrong if (times := self._recent(other))}
        self._wrong.setdefault(network, []).append(self.clock())

    def _recent(self, network: str) -> list[float]:
        return [then for then in self._wrong.get(network, ()) if self.clock() - then < _MINUTE]


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


@dataclass(frozen=True, repr=False)
class Tokens:
    """Session tokens that only this server can have issued: a random half and its signature."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def issue(self) -> str:
        """A new token of 256 random bits."""
        random = secrets.token_urlsafe(32)
        return f"{random}.{self._sign(random)}"

    def valid(self, token: str) -> bool:
        """Whether this server issued it."""
        random, _, signature = token.partition(".")
        return hmac.compare_digest(signature.encode(), self._sign(random).encode())

    def _sign(self, random: str) -> str:
        return hmac.new(self.key, random.encode(), hashlib.sha256).hexdigest()


def _basic(header: str) -> bytes:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
