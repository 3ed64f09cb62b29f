"""The application: API, camera, page, and the gate before them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp

from dp2 import __version__
from dp2.errors import Dp2Error
from dp2.web import api, live
from dp2.web.auth import Credentials, Tokens
from dp2.web.guard import Guard
from dp2.web.service import Service
from dp2.web.store import NotFound, TooMuch
from dp2.web.uploads import TooLarge, Unfit, WrongType

_STATUS: tuple[tuple[type[Dp2Error], int], ...] = (
    (NotFound, 404),
    (TooMuch, 429),
    (TooLarge, 413),
    (WrongType, 415),
    (Unfit, 422),
    (api.Conflict, 409),
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}


@dataclass(frozen=True, kw_only=True)
class Door:
    """Who is let in.

    Attributes:
        hosts: names by which the server may be asked for.
        any_address: numeric addresses too.
        credentials: None = nobody needs a password.
        secure: served over TLS.
    """

    hosts: frozenset[str] = field(default_factory=lambda: frozenset({"127.0.0.1", "localhost", "::1"}))
    any_address: bool = False
    credentials: Credentials | None = None
    secure: bool = False


def build_app(service: Service, door: Door) -> ASGIApp:
    """Everything behind one address.

    Args:
        service: what does the work; it starts and stops with the application.
        door: who is let in.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    # FastAPI's own pages of documentation load scripts from elsewhere, so there are none.
    app = FastAPI(
        title="dp2",
        version=__version__,
        summary="Finds every person in photos and video and makes them unrecognisable.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(api.router)
    app.include_router(live.router)
    _add_page(app)
    app.add_exception_handler(Dp2Error, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)
    return Guard(
        app,
        hosts=door.hosts,
        any_address=door.any_address,
        credentials=door.credentials,
        tokens=Tokens(),
        secure=door.secure,
    )


def _add_page(app: FastAPI) -> None:
    """The files of `page/`, read once; no other path leads to a file."""
    pages = {item.name: item.read_bytes() for item in files("dp2.web").joinpath("page").iterdir() if item.is_file()}
    for name, content in pages.items():
        suffix = name[name.rindex(".") :]
        if suffix in _TYPES:
            _add_file(app, "/" if name == "index.html" else f"/page/{name}", content, _TYPES[suffix])


def _add_file(app: FastAPI, path: str, content: bytes, kind: str) -> None:
    async def page() -> Response:
        return Response(content, media_type=kind)

    app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 400)
    return JSONResponse({"error": str(error)}, status)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """What is wrong with a request, without repeating what it said."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    words = "; ".join(f"{'.'.join(str(part) for part in p['loc'][1:])}: {p['msg']}" for p in problems[:5])
    return JSONResponse({"error": f"the request is malformed: {words}"}, 400)


async def _no_route(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": "there is nothing here." if status == 404 else "not possible here."}, status)
