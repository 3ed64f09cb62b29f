"""Takes a file from the network: counted, told by its content, looked at by a worker, or deleted again."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import IO

from starlette.requests import ClientDisconnect, Request

from dp2.errors import JobError, UsageError
from dp2.web.service import Service
from dp2.web.store import Media, Session, TooMuch

_SILENCE = 60.0  # seconds without a byte
_SLOWEST = 20_000  # bytes a second on the whole, after the first minute: who sends a byte now and then is no visitor
_HEAD = 4096


class TooLarge(UsageError):
    """More bytes than one upload may have."""


class WrongType(UsageError):
    """Neither a photo nor a video."""


class Unfit(UsageError):
    """A photo or video that cannot be read or is beyond the limits."""


async def receive(service: Service, session: Session, name: str, request: Request) -> Media:
    """Store and inspect an upload.

    Args:
        service: whose limits count.
        session: that gets it.
        name: as the user calls it; only shown.
        request: whose body it is.

    Raises:
        TooLarge, TooMuch, WrongType, Unfit: it is refused; nothing of it is left.
    """
    allowed = min(service.limits.upload_bytes, service.store.room(session))
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > allowed:
        raise _too_large(service, allowed)
    expected = int(length) if length.isdecimal() else allowed
    media = service.store.new_media(session, name)
    session.coming += 1
    session.uploading += expected  # so that several at a time do not get the same room
    try:
        media.size = await _store(service, media, request, allowed)
        media.facts = await _inspect(service, media)
    except BaseException as error:
        shutil.rmtree(media.folder, ignore_errors=True)
        if isinstance(error, ClientDisconnect):
            raise Unfit("the upload was broken off.") from error
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise TooMuch("the server's disk is full.") from error
        raise
    finally:
        session.uploading -= expected
        session.coming -= 1
    session.media[media.id] = media
    return media


async def _store(service: Service, media: Media, request: Request, allowed: int) -> int:
    size, judged, began = 0, False, time.monotonic()
    chunks = aiter(request.stream())
    with media.source.open("xb") as file:
        while True:
            try:
                async with asyncio.timeout(_SILENCE):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise Unfit("the upload stood still.") from None
            size += len(chunk)
            if size > allowed:
                raise _too_large(service, allowed)
            if time.monotonic() - began > _SILENCE + size / _SLOWEST:
                raise Unfit("the upload is too slow.")
            file.write(chunk)
            # Judged by its first bytes, so that what is no picture is refused before all of it was taken.
            if not judged and size >= _HEAD:
                _judge(file, media.source)
                judged = True
        if not judged:
            _judge(file, media.source)
    return size


def _judge(file: IO[bytes], path: Path) -> None:
    from dp2.source.sniff import image_format, read_head
    from dp2.source.video_kind import is_video

    file.flush()
    if image_format(read_head(path)) is None and not is_video(path):
        raise WrongType("neither a photo nor a video that dp2 reads; its content decides, not its name.")


async def _inspect(service: Service, media: Media) -> dict[str, object]:
    limits = service.limits
    arguments = {
        "name": media.name,
        "source": str(media.source),
        "preview": str(media.preview),
        "suffix": Path(media.name).suffix.lower(),
        "limits": {"pixels": limits.pixels, "video_seconds": limits.video_seconds},
    }
    try:
        return await service.inspector.run("inspect", arguments, seconds=limits.inspect_seconds)
    except JobError as error:
        raise Unfit(str(error)) from error


def _too_large(service: Service, allowed: int) -> UsageError:
    if allowed < service.limits.upload_bytes:
        return TooMuch(f"this session may hold {service.limits.session_bytes / 1e6:.0f} MB; delete something first.")
    return TooLarge(f"a file may have {service.limits.upload_bytes / 1e6:.0f} MB.")
