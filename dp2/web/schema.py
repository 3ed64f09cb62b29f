"""What goes in and out of the JSON API; OpenAPI is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Identity = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


class AnonymizerOut(BaseModel):
    """One that comes with dp2.

    `ready`: its weights are on this machine. `group`: what it does, in two words. `rare`: for experiments. `picture`:
    below /page/, what it makes of a photo.
    """

    name: str
    about: str
    ready: bool
    group: str
    rare: bool
    picture: str | None


class LimitsOut(BaseModel):
    """What the server takes on."""

    upload_bytes: int
    pixels: int
    video_seconds: float
    session_bytes: int
    job_seconds: float
    live_seconds: float
    keep_seconds: float


class AboutOut(BaseModel):
    """The server. `references`: reference faces can be used; else `references_remedy` says what is needed."""

    version: str
    default: str
    limits: LimitsOut
    references: bool
    references_remedy: str


class MediaOut(BaseModel):
    """An upload: `kind` is image, video or animation; sizes in pixels, upright; `notes` are words to be said."""

    id: str
    name: str
    kind: str
    size: int
    width: int
    height: int
    seconds: float | None = None
    frames: int | None = None
    notes: list[str] = []


class JobIn(_Strict):
    """A job to be done.

    `task`: `detect` finds people, so that somebody can choose whom to keep; `anonymize` makes the result.
    `detections`: the id of a finished `detect` job of the same file and anonymizer; its boxes are used.
    `keep`: ids of people in it who stay as they are.
    `references`: uploads that show people who stay as they are; with `only`, these are changed and nobody else.
    """

    media: Identity
    anonymizer: Annotated[str, Field(max_length=100)]
    task: Literal["detect", "anonymize"] = "anonymize"
    detections: Identity | None = None
    keep: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=5000)] = []
    references: Annotated[list[Identity], Field(max_length=50)] = []
    only: bool = False
    keep_audio: bool = False
    keep_metadata: bool = False


class BoxOut(BaseModel):
    """Somebody. `id` is what `keep` takes; None = cannot be kept. `box`: x0, y0, x1, y1 in pixels."""

    id: str | None
    kind: str
    box: list[float]
    score: float


class PeopleOut(BaseModel):
    """A frame with people in it; its picture is `/api/jobs/{id}/frames/{n}`."""

    index: int
    time: float
    width: int
    height: int
    boxes: list[BoxOut]


class JobOut(BaseModel):
    """A job. `place`: how many are to come before it is done, itself included, while it is queued.

    `keep`: as it was wished for. `done` of `total` frames. `people`: of a finished `detect`. `said`, `summary`,
    `notes`: of a finished `anonymize`.
    """

    id: str
    task: str
    media: str | None
    anonymizer: str
    keep: list[str]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    place: int
    done: int
    total: int | None
    error: str | None
    seconds: float | None
    filename: str
    people: list[PeopleOut] | None = None
    said: str | None = None
    summary: dict[str, Any] | None = None
    notes: list[str] = []
