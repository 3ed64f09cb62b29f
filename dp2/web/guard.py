"""The gate before every route: which host was asked for, from which page, by whom; and headers on every answer."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Collection
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dp2.web.auth import Attempts, Credentials, Tokens

COOKIE = "dp2_session"
UPLOAD_PATH = "/api/media"
_JSON_BYTES = 256 * 1024
_DIGITS = 20  # of a length; Python refuses to read thousands of them
_BODY_SECONDS = 30.0  # in which a request other than an upload has to arrive
_WRONG_PASSWORD_DELAY = 0.5  # seconds
_SAFE = {"GET", "HEAD", "OPTIONS"}
_OWN_SITES = {None, "same-origin", "none"}  # of Sec-Fetch-Site

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class _Refusal:
    status: int
    reason: str


class Guard:
    """ASGI middleware. What passes has a session token in `scope["state"]["token"]`.

    Args:
        app: what it guards.
        hosts: names by which the server may be asked for, without port; numeric addresses too if `any_address`.
        any_address: the server listens on all addresses. A page that rebinds its name to us still asks for its
            name, so numbers are safe.
        credentials: None = nobody needs a password.
        tokens: issues session tokens. A valid one stands for the password, for a browser sends none with a WebSocket.
        secure: served over TLS.
        body_seconds: in which a request other than an upload has to arrive.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        any_address: bool,
        credentials: Credentials | None,
        tokens: Tokens,
        secure: bool = False,
        body_seconds: float = _BODY_SECONDS,
    ) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._any_address = any_address
        self._credentials = credentials
        self._tokens = tokens
        self._secure = secure
        self._body_seconds = body_seconds
        self._attempts = Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._misdirected(headers) or _cross_site(scope, headers) or _unfit_body(scope, headers)
        name = _cookie_name(scope)
        token = _cookie(headers, name)
        known = token if token is not None and self._tokens.valid(token) else None
        refusal = refusal or await self._stranger(scope, headers, known)
        if refusal is None and _has_short_body(scope):
            try:
                receive = await _whole(receive, self._body_seconds)
            except TimeoutError:
                refusal = _Refusal(408, "the request did not arrive in time.")
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
            return
        issued = known or self._tokens.issue()
        scope.setdefault("state", {})["token"] = issued
        # Whoever follows a link from another site comes without his cookie (SameSite); a new one would take its place.
        introduces = known is None and headers.get("sec-fetch-site") in _OWN_SITES

        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                answer = MutableHeaders(scope=message)
                for header, value in HEADERS.items():
                    answer[header] = value
                if introduces:
                    answer.append("Set-Cookie", self._set_cookie(name, issued))
            await send(message)

        await self._app(scope, receive, with_headers)

    def _set_cookie(self, name: str, token: str) -> str:
        return f"{name}={token}; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if self._secure else "")

    def _misdirected(self, headers: Headers) -> _Refusal | None:
        host = _host_name(headers.get("host", ""))
        if host in self._hosts or (self._any_address and _is_address(host)):
            return None
        return _Refusal(421, "this server is not known by that name; see --allow-host.")

    async def _stranger(self, scope: Scope, headers: Headers, known: str | None) -> _Refusal | None:
        """Whether somebody without a session gives no password, a wrong one, or has given too many wrong ones."""
        if self._credentials is None or known is not None:
            return None
        given, address = headers.get("authorization"), str((scope.get("client") or ("",))[0])
        if given is not None and self._attempts.too_many(address):
            return _Refusal(429, "too many wrong passwords; wait a minute.")
        if self._credentials.accepts(given):
            return None
        if given is not None:
            self._attempts.count(address)
            await asyncio.sleep(_WRONG_PASSWORD_DELAY)
        return _Refusal(401, "a user name and a password are needed.")


def _cross_site(scope: Scope, headers: Headers) -> _Refusal | None:
    """Whether another site's page sent this request (Fetch Metadata, W3C; Origin, RFC 6454)."""
    refusal = _Refusal(403, "requests from other sites are refused.")
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
    if origin is not None and not _is_own(origin, scope, headers):
        return refusal
    if site in _OWN_SITES:
        return None
    # A link on another page may lead to this one's front door, not to what is behind it.
    front_door = not changes and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
    return None if front_door else refusal


def _is_own(origin: str, scope: Scope, headers: Headers) -> bool:
    """Compared as text: browsers write origins in one way. Under TLS a page that came without it is a stranger's."""
    scheme, _, host = origin.lower().partition("://")
    schemes = {"https"} if scope["scheme"] in ("https", "wss") else {"http", "https"}
    return scheme in schemes and host == headers.get("host", "").lower()


def _unfit_body(scope: Scope, headers: Headers) -> _Refusal | None:
    if scope["type"] == "websocket" or scope["method"] in _SAFE:
        return None
    if headers.get("content-encoding", "identity") != "identity":
        return _Refusal(415, "compressed requests are not unpacked.")
    if scope["path"] == UPLOAD_PATH:
        return None  # streamed and counted there
    length = headers.get("content-length")
    if headers.get("transfer-encoding") is not None or (length is not None and not length.isdecimal()):
        return _Refusal(411, "say the length of the request.")
    if length is not None and (len(length) > _DIGITS or int(length) > _JSON_BYTES):
        return _Refusal(413, f"the request is longer than {_JSON_BYTES} bytes.")
    return None


def _has_short_body(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] not in _SAFE and scope["path"] != UPLOAD_PATH


async def _whole(receive: Receive, seconds: float) -> Receive:
    """The request with all of its body, whose length `_unfit_body` has seen.

    Raises:
        TimeoutError: it came too slowly.
    """
    pieces: list[Message] = []
    async with asyncio.timeout(seconds):
        while not pieces or pieces[-1].get("more_body", False):
            pieces.append(await receive())
    left = iter(pieces)

    async def again() -> Message:
        return next(left, None) or await receive()

    return again


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: _Refusal) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4000 + refusal.status, "reason": refusal.reason})
        return
    body = json.dumps({"error": refusal.reason}).encode()
    fixed = {**HEADERS, "Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    if refusal.status == 401:
        fixed["WWW-Authenticate"] = 'Basic realm="dp2", charset="UTF-8"'
    raw = [(name.lower().encode(), value.encode()) for name, value in fixed.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _cookie_name(scope: Scope) -> str:
    """Browsers keep no cookies apart by port, so two servers of one machine would end each other's sessions."""
    return f"{COOKIE}_{(scope.get('server') or ('', ''))[1]}"


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return None if found is None else found.value


def _host_name(host: str) -> str:
    """Without the port; of an IPv6 address without the brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
