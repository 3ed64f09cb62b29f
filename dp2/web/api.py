"""The JSON API: uploads, jobs, results. Everything belongs to the session that made it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse

from dp2 import __version__
from dp2.errors import JobError, UsageError
from dp2.web.jobs import Job, State
from dp2.web.schema import AboutOut, AnonymizerOut, JobIn, JobOut, LimitsOut, MediaOut, Problem
from dp2.web.service import Service, check_anonymizer
from dp2.web.store import Media, NotFound, Session, TooMuch
from dp2.web.uploads import receive
from dp2.web.workers.gallery import parse_id

router = APIRouter(
    prefix="/api",
    responses={code: {"model": Problem} for code in (400, 401, 403, 404, 409, 413, 415, 421, 429)},
)
_OCTETS = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"format": "binary"}}}}}
_MIME = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".heic": "image/heic",
}


class Conflict(UsageError):
    """What is asked for does not fit what is there."""


@router.get("/about")
async def about(request: Request) -> AboutOut:
    """What this server is and what it takes on."""
    service = _service(request)
    limits = LimitsOut(**{name: getattr(service.limits, name) for name in LimitsOut.model_fields})
    remedy = await service.references_remedy()
    return AboutOut(
        version=__version__,
        default=service.default,
        limits=limits,
        references=remedy is None,
        references_remedy=remedy or "",
    )


@router.get("/anonymizers")
async def anonymizers(request: Request) -> list[AnonymizerOut]:
    """All that come with dp2; those whose weights are missing here are not ready."""
    return [AnonymizerOut(**row) for row in await _service(request).anonymizers()]


@router.post("/media", status_code=201, openapi_extra=_OCTETS)
async def upload(request: Request, name: Annotated[str, Query(max_length=1000)] = "upload") -> MediaOut:
    """Upload a photo or a video as the body of the request. Its content decides what it is, whatever its name."""
    service = _service(request)
    session = service.store.session(_token(request))
    return _media_out(await receive(service, session, name, request))


@router.get("/media")
async def list_media(request: Request) -> list[MediaOut]:
    """The uploads of this session, oldest first."""
    session = _known(request)
    return [] if session is None else [_media_out(media) for media in session.media.values()]


@router.get("/media/{media_id}/preview", response_class=FileResponse)
async def preview(request: Request, media_id: str) -> FileResponse:
    """A JPEG of an upload, or of its first frame."""
    return _file(_own(request).find(media_id).preview, "image/jpeg")


@router.get("/media/{media_id}/source", response_class=FileResponse)
async def source(request: Request, media_id: str) -> FileResponse:
    """An upload as it came, to be played beside its result."""
    media = _own(request).find(media_id)
    return _file(media.source, _MIME.get(media.facts["suffix"], "application/octet-stream"), media.name)


@router.delete("/media/{media_id}", status_code=204)
async def delete_media(request: Request, media_id: str) -> None:
    """Delete an upload with all its jobs and results."""
    session = _own(request)
    await _service(request).delete_media(session, session.find(media_id))


@router.post("/jobs", status_code=202)
async def submit(request: Request, wanted: JobIn) -> JobOut:
    """Put a job into the queue."""
    service = _service(request)
    session = _own(request)
    job = _job(service, session, wanted)
    if service.store.room(session) <= 0:
        raise TooMuch("this session holds as much as it may; delete something first.")
    await service.queue.submit(job)
    return _job_out(service, job)


@router.get("/jobs")
async def list_jobs(request: Request) -> list[JobOut]:
    """The jobs of this session, oldest first."""
    service = _service(request)
    return [_job_out(service, job) for job in service.queue.of(_known(request)) if job.media is not None]


@router.get("/jobs/{job_id}")
async def progress(request: Request, job_id: str, wait: Annotated[float, Query(ge=0, le=30)] = 0.0) -> JobOut:
    """How far a job is. `wait`: answer when it is over, or after so many seconds."""
    job = _find(request, job_id)
    if wait and not job.over:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(job.ended.wait(), wait)
    return _job_out(_service(request), job)


@router.post("/jobs/{job_id}/cancel")
async def cancel(request: Request, job_id: str) -> JobOut:
    """End a job. What it made so far is deleted; a job that is over stays as it is."""
    service, job = _service(request), _find(request, job_id)
    if not job.over:
        await service.queue.cancel(job)
    return _job_out(service, job)


@router.delete("/jobs/{job_id}", status_code=204)
async def delete_job(request: Request, job_id: str) -> None:
    """End a job and delete its result."""
    await _service(request).queue.delete(_find(request, job_id))


@router.get("/jobs/{job_id}/result", response_class=FileResponse)
async def result(request: Request, job_id: str) -> FileResponse:
    """The anonymized file."""
    job = _finished(request, job_id)
    if job.target is None:
        raise NotFound("this job makes no file.")
    return _file(job.target, _MIME.get(job.target.suffix, "application/octet-stream"), job.filename)


@router.get("/jobs/{job_id}/preview", response_class=FileResponse)
async def result_preview(request: Request, job_id: str) -> FileResponse:
    """A JPEG of an anonymized photo."""
    job = _finished(request, job_id)
    if job.folder is None:
        raise NotFound("this job makes no picture.")
    return _file(job.folder / "preview.jpg", "image/jpeg")


@router.get("/jobs/{job_id}/frames/{number}", response_class=FileResponse)
async def frame(request: Request, job_id: str, number: int) -> FileResponse:
    """A JPEG of the n-th frame of a finished `detect` job. It shows the faces."""
    job = _finished(request, job_id)
    if job.folder is None or not 0 <= number < len(job.result.get("people", ())):
        raise NotFound("there is no such frame.")
    return _file(job.folder / f"frame{number}.jpg", "image/jpeg")


def _job(service: Service, session: Session, wanted: JobIn) -> Job:
    media = session.find(wanted.media)
    check_anonymizer(wanted.anonymizer)
    references = [session.find(identity) for identity in wanted.references]
    if any(reference.facts["kind"] != "image" for reference in references):
        raise Conflict("reference faces are photos.")
    for text in wanted.keep:
        parse_id(text)
    job = Job(session, wanted.task, {}, service.limits.job_seconds, media=media)
    folder = media.folder / job.id
    job.folder = folder
    detections = None if wanted.detections is None else _detections(service, session, wanted)
    if wanted.keep and detections is None:
        raise Conflict("`keep` needs `detections`: the id of a finished job `detect`.")
    job.arguments = {
        "anonymizer": wanted.anonymizer,
        "name": media.name,
        "kind": media.facts["kind"],
        "source": str(media.source),
        "folder": str(folder),
        "pixels": service.limits.pixels,
        "seconds": service.limits.video_seconds,
        "detections": str(folder / "found.jsonl") if wanted.task == "detect" else detections,
    }
    if wanted.task == "anonymize":
        job.target = folder / f"result{media.facts['suffix']}"
        job.filename = f"{Path(media.name).stem}_anonymized{media.facts['suffix']}"
        job.arguments |= {
            "target": str(job.target),
            "preview": str(folder / "preview.jpg"),
            "keep": wanted.keep,
            "references": [[str(reference.source), reference.name] for reference in references],
            "only": wanted.only,
            "keep_audio": wanted.keep_audio,
            "keep_metadata": wanted.keep_metadata,
        }
    return job


def _detections(service: Service, session: Session, wanted: JobIn) -> str:
    found = service.queue.find(session, wanted.detections or "")
    if found.task != "detect" or found.state is not State.DONE:
        raise Conflict("`detections` is not the id of a finished job `detect`.")
    if found.media is None or found.media.id != wanted.media or found.arguments["anonymizer"] != wanted.anonymizer:
        raise Conflict("`detections` are of another file or anonymizer; detect again.")
    return str(found.arguments["detections"])


def _job_out(service: Service, job: Job) -> JobOut:
    took = job.took if job.took is not None or job.began is None else round(time.monotonic() - job.began, 3)
    return JobOut(
        id=job.id,
        task=job.task,
        media=None if job.media is None else job.media.id,
        anonymizer=job.arguments["anonymizer"],
        keep=job.arguments.get("keep", []),
        state=job.state.value,
        place=service.queue.place(job),
        done=job.done,
        total=job.total,
        error=job.error,
        seconds=took,
        filename=job.filename,
        **{name: job.result[name] for name in ("people", "said", "summary", "notes") if name in job.result},
    )


def _media_out(media: Media) -> MediaOut:
    facts: dict[str, Any] = {key: value for key, value in media.facts.items() if key in MediaOut.model_fields}
    return MediaOut(id=media.id, name=media.name, size=media.size, **facts)


def _file(path: Path, kind: str, name: str | None = None) -> FileResponse:
    if not path.is_file():
        raise NotFound("it was deleted.")
    return FileResponse(path, media_type=kind, filename=name)


def _finished(request: Request, identity: str) -> Job:
    job = _find(request, identity)
    if job.state is not State.DONE:
        raise Conflict(f"the job is {job.state}; there is no result.")
    return job


def _find(request: Request, identity: str) -> Job:
    return _service(request).queue.find(_known(request), identity)


def _own(request: Request) -> Session:
    session = _known(request)
    if session is None:
        raise NotFound("nothing was uploaded in this session.")
    return session


def _known(request: Request) -> Session | None:
    return _service(request).store.known(_token(request))


def _token(request: Request) -> str:
    return str(request.state.token)


def _service(request: Request) -> Service:
    service = request.app.state.service
    if not isinstance(service, Service):
        raise JobError("the server has not started.")
    return service
