"""How uvicorn serves: one place for what `dp2 serve` and the tests must have in common."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

LARGEST_MESSAGE = 4_000_000  # bytes of one picture of a camera
_CONNECTIONS = 200
_HEAD_SECONDS = 15.0


class PatientNoLonger(H11Protocol):
    """HTTP/1.1 that hangs up on whoever connects and does not get to the end of his request's head.

    uvicorn waits for it for ever, and a few hundred such connections, which need no password, would be all it takes.
    The same for what still comes of a body after the answer was given.
    """

    head_seconds = _HEAD_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """He is gone."""
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        if not self._owes():
            self._forget()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._hang_up)

    def _owes(self) -> bool:
        """Whether bytes are due that nobody else waits for."""
        answered = self.cycle is not None and self.cycle.response_complete
        return self.conn.their_state is h11.IDLE or (answered and self.conn.their_state is h11.SEND_BODY)

    def _hang_up(self) -> None:
        if self._owes():
            self.transport.abort()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def server_config(app: ASGIApp, **settings: Any) -> uvicorn.Config:
    """What uvicorn needs to know.

    Args:
        app: of `dp2.web.app.build_app`.
        settings: of uvicorn, in the place of ours.
    """
    ours: dict[str, Any] = {
        "http": PatientNoLonger,  # h11 also ends heads that do not end, at 64 KB
        "ws": "websockets-sansio",
        "ws_max_size": LARGEST_MESSAGE,
        "ws_per_message_deflate": False,  # JPEGs do not get smaller, and nothing is there to be unpacked
        "limit_concurrency": _CONNECTIONS,
        "log_level": "warning",
        "access_log": False,  # would write down the ids of jobs
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": 3,
    }
    return uvicorn.Config(app, **{**ours, **settings})
