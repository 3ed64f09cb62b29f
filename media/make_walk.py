"""Makes pan.mp4: three AI-made people walk over a lawn towards a camera that pans, heard by their steps.

    python media/make_walk.py

A person is one photo in three pieces: the body above the legs, and each leg. A foot on the ground stays where it stands
while the body goes on; each leg is stretched between its hip and its foot as the camera sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from cutouts import Cutout, cutout, outline, photo_of, without
from make_group import FILL, PLACE
from numpy.typing import NDArray
from PIL import Image

from dp2.detect.people.matte import SelfieMatte

HERE = Path(__file__).resolve().parent
FPS, SECONDS = 25, 4
SHOWN, FINE = (640, 360), 2  # pixels; times as many while composing
WIDE, TALL = 1440, 720  # of the whole place, in fine pixels
HORIZON, FOCUS, CAMERA = 236, 1100.0, 1.3  # fine pixels, fine pixels, metres above the ground
RATE = 44_100
SPLIT = 0.605  # share of the height at which the legs begin
STANCE = 0.6  # share of a stride in which a foot is on the ground


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody on the lawn.

    Attributes:
        person: of openpeople.
        height: in metres.
        x, z: metres to the right of the place's middle, and away from the camera when the clip begins.
        between: shares of the cutout's width between the legs: where they begin, and at the feet.
        phase: share of a stride done when the clip begins.
        stride: metres that two steps lead on.
        pace: metres a second.
        arms: metres that the hands swing inwards.
        light: factors of red, green and blue.
    """

    person: str
    height: float
    x: float
    z: float
    between: tuple[float, float]
    phase: float
    stride: float
    pace: float
    arms: float
    light: tuple[float, float, float]


WALKERS = (
    Walker("P006", 1.68, 0.05, 7.3, (0.50, 0.51), 0.30, 1.14, 0.94, 0.03, (1.10, 1.06, 0.99)),
    Walker("P005", 1.81, 0.80, 6.9, (0.52, 0.60), 0.05, 1.24, 0.98, 0.03, (1.08, 1.05, 0.99)),
    Walker("P010", 1.66, -0.74, 6.5, (0.50, 0.55), 0.62, 1.12, 0.93, 0.035, (1.10, 1.07, 0.98)),
)


def park(place: NDArray[np.float32]) -> NDArray[np.float32]:
    """(720, 1440, 3): the trees as they are, the lawn below as a lower camera sees it."""
    height, width = place.shape[:2]
    factor = WIDE / width
    away = np.arange(TALL, dtype=np.float32) - HORIZON
    rows = 0.42 * height + np.where(away < 0, away, 1.8 * away) / factor
    columns = np.arange(WIDE, dtype=np.float32) / factor
    grid = np.meshgrid(columns, rows.clip(0, height - 1).astype(np.float32))
    view = cv2.remap(place, *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    share = np.clip((away - 30) / 200, 0, 1)[:, None, None].astype(np.float32)
    return np.asarray(cv2.GaussianBlur(view, (0, 0), 3) * (1 - share) + view * share, np.float32)


def foot(stride: float, walker: Walker) -> tuple[float, float]:
    """Metres by which a foot is before the body, and above the ground, at a share of its stride."""
    reach = walker.stride * STANCE / 2
    if stride < STANCE:
        return reach * (1 - 2 * stride / STANCE), 0.0
    swing = (stride - STANCE) / (1 - STANCE)
    return -reach * np.cos(np.pi * swing), 0.13 * np.sin(np.pi * swing) ** 1.5


def layer(
    person: Cutout, part: NDArray[np.float32], rows: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A piece of the person bent to the place: colours (720, 1440, 3) and cover (720, 1440)."""
    paint = cv2.remap(person.colour, *rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.remap(person.cover * part, *rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return paint, cover


def walked(walker: Walker, person: Cutout, time: float) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """The person at a time: colours, cover, and the row of the ground below."""
    tall, wide = person.cover.shape
    strides = walker.phase + time * walker.pace / walker.stride
    depth = walker.z - walker.pace * time
    scale = FOCUS / depth  # fine pixels per metre
    per_row = walker.height / tall  # metres per pixel of the cutout
    bob = 0.018 * np.cos(4 * np.pi * (strides - STANCE / 4))
    middle = WIDE / 2 + scale * (walker.x + 0.014 * np.sin(2 * np.pi * (strides - STANCE / 4)))
    axis = np.interp(np.arange(tall) / tall, [0, SPLIT, 1], [walker.between[0], *walker.between]) * wide
    y, x = np.mgrid[0:TALL, 0:WIDE].astype(np.float32)
    share = (np.arange(tall) + 0.5) / tall
    sides = np.arange(wide)[None] - axis[:, None]
    hip = HORIZON + scale * (CAMERA - walker.height * (1 - SPLIT) - bob)

    pieces = []
    for side in (-1, 1):
        ahead, lift = foot((strides + (0 if side < 0 else 0.5)) % 1, walker)
        near = FOCUS / (depth - ahead)
        sole = HORIZON + near * (CAMERA - lift)
        part = ((share[:, None] > SPLIT - 0.01) & (sides * side >= 0)).astype(np.float32)
        down = np.clip((y - hip) / (sole - hip), -0.1, 1.2)
        source = (SPLIT + (1 - SPLIT) * down) * tall
        here = (scale + (near - scale) * down.clip(0, 1)) * per_row  # fine pixels per pixel of the cutout
        inwards = side * 0.12 * wide * 0.28 * down.clip(0, 1)  # feet are set closer to each other than when standing
        columns = np.interp(source, np.arange(tall), axis) + (x - middle) / here + inwards
        paint, cover = layer(person, part, (columns.astype(np.float32), source.astype(np.float32)))
        shade = 1 - 0.14 * down.clip(0, 1)[..., None] - (0.12 if ahead < 0 else 0) * down.clip(0, 1)[..., None]
        pieces.append((ahead, paint * shade, cover))
    top = hip - scale * walker.height * SPLIT
    source = (y - top) / scale / per_row
    sway = np.sin(2 * np.pi * (strides - STANCE / 4))
    across = (x - middle) / scale / per_row
    arm = np.clip((np.abs(across) / wide - 0.27) / 0.1, 0, 1) * np.clip((source / tall - 0.3) / 0.3, 0, 1)
    swing = walker.arms / per_row * arm * (1 + np.sign(across) * sway)
    columns = np.interp(source, np.arange(tall), axis) + across + np.sign(across) * swing
    part = (share[:, None] < SPLIT + 0.005).astype(np.float32) * np.ones((1, wide), np.float32)
    upper = layer(person, part, (columns.astype(np.float32), source.astype(np.float32)))

    colour, cover = np.zeros((TALL, WIDE, 3), np.float32), np.zeros((TALL, WIDE), np.float32)
    for _, paint, piece in (*sorted(pieces, key=lambda one: one[0]), (0.0, *upper)):
        colour = colour * (1 - piece[..., None]) + paint * piece[..., None]
        cover = cover + piece * (1 - cover)
    return colour, cover, HORIZON + scale * CAMERA


def shadow(cover: NDArray[np.float32], ground: float) -> NDArray[np.float32]:
    """(720, 1440) float32 in [0, 1]: where the person keeps the light from the ground, lying away from the camera."""
    flat, lean = 0.2, 0.8
    lying = cv2.warpAffine(
        cover, np.float32([[1, -lean * flat, lean * flat * ground], [0, flat, ground * (1 - flat)]]), (WIDE, TALL)
    )
    low = cover.copy()
    low[: int(ground - 0.07 * (ground - HORIZON))] = 0
    close = cv2.warpAffine(low, np.float32([[1, 0, 0], [0, 0.4, ground * 0.6 + 4]]), (WIDE, TALL))
    return 0.42 * cv2.GaussianBlur(lying, (0, 0), 6) + 0.5 * cv2.GaussianBlur(close, (0, 0), 4)


def frames(photos: dict[str, NDArray[np.uint8]], outlines: dict[str, NDArray[np.bool_]]) -> list[Image.Image]:
    """The clip's pictures."""
    place = park(0.93 * without(photos[PLACE], outlines[PLACE], FILL))
    people = {one.person: cutout(photos[one.person], outlines[one.person]).sized(820) for one in WALKERS}
    random, shown = np.random.default_rng(0), []
    for index in range(FPS * SECONDS):
        time = index / FPS
        picture = place.copy()
        walking = [walked(one, people[one.person], time) for one in WALKERS]
        for _, cover, ground in walking:
            picture *= (1 - shadow(cover, ground).clip(0, 0.85))[..., None]
        for one, (colour, cover, _) in zip(WALKERS, walking, strict=True):
            picture = picture * (1 - cover[..., None]) + colour * np.float32(one.light)
        pan = (1 - np.cos(np.pi * time / SECONDS)) / 2
        left = (WIDE - SHOWN[0] * FINE) * pan + 3 * np.sin(2.1 * time)
        up = 3 * np.sin(1.7 * time + 1)
        view = cv2.warpAffine(picture, np.float32([[1, 0, -left], [0, 1, -up]]), (SHOWN[0] * FINE, SHOWN[1] * FINE),
                              borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        small = cv2.resize(view, SHOWN, interpolation=cv2.INTER_AREA) + random.normal(0, 1, (*SHOWN[::-1], 1))
        shown.append(Image.fromarray(small.clip(0, 255).astype(np.uint8)))
    return shown


def steps() -> NDArray[np.float32]:
    """The sound: a breath of wind, and a dull tap for each foot that is set down."""
    random = np.random.default_rng(1)
    count = RATE * SECONDS
    sound = 0.012 * np.convolve(random.normal(0, 1, count), np.ones(60) / 8, "same")
    fade = np.exp(-np.arange(RATE // 8) / (RATE * 0.018))
    for walker in WALKERS:
        for half in range(40):
            time = (half / 2 - walker.phase) * walker.stride / walker.pace
            start = round(time * RATE)
            if 0 <= start < count - len(fade):
                tap = np.convolve(random.normal(0, 1, len(fade)), np.ones(24) / 10, "same") * fade
                sound[start : start + len(fade)] += 0.9 * tap / (walker.z - walker.pace * time)
    return np.asarray(sound.clip(-0.9, 0.9), np.float32)


def write(pictures: list[Image.Image], sound: NDArray[np.float32], path: Path) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"crf": "22", "preset": "slow"})
        video.width, video.height = SHOWN
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=RATE)
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_image(picture)))
        container.mux(video.encode())
        for start in range(0, len(sound), 1024):
            piece = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, start, Fraction(1, RATE)
            container.mux(audio.encode(piece))
        container.mux(audio.encode())


def main() -> None:
    matte = SelfieMatte()
    photos = {name: photo_of(name) for name in {PLACE, *(one.person for one in WALKERS)}}
    outlines = {name: outline(photo, matte) for name, photo in photos.items()}
    write(frames(photos, outlines), steps(), HERE / "pan.mp4")


if __name__ == "__main__":
    main()
