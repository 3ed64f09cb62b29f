"""What the page does, done by a program."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import av
import numpy as np
from PIL import Image


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def inside(image: np.ndarray, box: list[float]) -> np.ndarray:
    x0, y0, x1, y1 = (round(value) for value in box)
    return image[y0:y1, x0:x1]


def test_clicked_face_of_a_photo_stays_and_the_others_change(client, media: Path) -> None:
    photo = client.send_file(media / "group.jpg")
    assert (photo["kind"], photo["width"], photo["height"]) == ("image", 1280, 720)
    found = client.finish(client.begin(photo, task="detect"))
    boxes = found["people"][0]["boxes"]
    assert len(boxes) == 8
    kept = boxes[2]
    done = client.finish(client.begin(photo, detections=found["id"], keep=[kept["id"]]))
    assert done["summary"]["changed"] == {"face": 7}
    assert done["summary"]["kept"] == {"face": 1}
    answer = client.get(f"/api/jobs/{done['id']}/result")
    assert "group_anonymized.jpg" in answer.headers["content-disposition"]
    before, after = pixels((media / "group.jpg").read_bytes()), pixels(answer.content)
    for box in boxes:
        changed = np.abs(inside(before, box["box"]) - inside(after, box["box"])).mean()
        assert (changed < 3) == (box["id"] == kept["id"]), box


def test_clicked_track_of_a_video_stays_in_every_frame(client, media: Path, clips) -> None:
    group = np.asarray(Image.open(media / "group.jpg").resize((640, 360)))
    path = clips.make("clip.mp4", frames=30, size=(640, 360), pixels=group, audio="aac")
    clip = client.send_file(path)
    assert (clip["kind"], clip["frames"]) == ("video", 30)
    found = client.finish(client.begin(clip, task="detect"))
    assert found["total"] == 30
    boxes = {box["id"]: box["box"] for frame in found["people"] for box in frame["boxes"]}
    kept = max(boxes, key=lambda identity: boxes[identity][2] - boxes[identity][0])
    done = client.finish(client.begin(clip, detections=found["id"], keep=[kept], keep_audio=True))
    assert done["state"] == "done", done
    assert done["summary"]["kept"] == {"face": 30}
    with av.open(io.BytesIO(client.get(f"/api/jobs/{done['id']}/result").content)) as container:
        assert container.streams.audio
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(frames) == 30
    for after in frames:
        for identity, box in boxes.items():
            difference = np.abs(inside(group.astype(int), box) - inside(after, box)).mean()
            assert (difference < 8) == (identity == kept), (identity, difference)
    picture = client.get(f"/api/jobs/{found['id']}/frames/0")
    assert pixels(picture.content).shape == (360, 640, 3)


def test_cancelled_job_leaves_nothing_and_the_next_one_runs(client, server, media: Path) -> None:
    clip, photo = client.send_file(media / "pan.mp4"), client.send_file(media / "astronaut.jpg")
    job = client.begin(clip)
    waiting = client.begin(photo)
    client.until(job, lambda now: now["state"] == "running" and now["done"] > 0)
    worker = server.service.workers[0].pid
    assert client.post(f"/api/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    assert client.get(f"/api/jobs/{job['id']}/result").status_code == 409
    folder = server.service.store.known(client.token).find(clip["id"]).folder
    assert not (folder / job["id"]).exists()
    assert client.finish(waiting)["state"] == "done"
    assert server.service.workers[0].pid == worker, "a cancelled job costs no warm worker"


def test_waiting_job_can_be_cancelled(client, media: Path) -> None:
    clip, photo = client.send_file(media / "pan.mp4"), client.send_file(media / "astronaut.jpg")
    first, second = client.begin(clip), client.begin(photo)
    assert client.post(f"/api/jobs/{second['id']}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/jobs/{first['id']}/cancel").json()["state"] == "cancelled"


def test_deleted_upload_takes_its_results_with_it(client, server, media: Path) -> None:
    photo = client.send_file(media / "astronaut.jpg")
    done = client.finish(client.begin(photo))
    folder = server.service.store.known(client.token).find(photo["id"]).folder
    assert (folder / done["id"]).is_dir()
    assert client.delete(f"/api/media/{photo['id']}").status_code == 204
    assert not folder.exists()
    assert client.get(f"/api/jobs/{done['id']}").status_code == 404


def test_metadata_is_dropped(client, telling_photo) -> None:
    photo = client.send_file(telling_photo(".jpg"))
    done = client.finish(client.begin(photo))
    content = client.get(f"/api/jobs/{done['id']}/result").content
    found = client.finish(client.begin(photo, task="detect"))
    shown = (f"media/{photo['id']}/preview", f"jobs/{done['id']}/preview", f"jobs/{found['id']}/frames/0")
    preview = b"".join(client.get(f"/api/{path}").content for path in shown)
    for word in (b"MakeQQ1", b"NoteQQ2", b"ThumbQQ3", b"XmpQQ4", b"CommentQQ5", b"Exif\0"):
        assert word not in content
        assert word not in preview


def test_anonymizers_say_whether_they_are_ready(client) -> None:
    ready = {row["name"]: row["ready"] for row in client.get("/api/anonymizers").json()}
    assert ready["face_blur"]
    assert "_face" not in ready


def test_missing_weights_fail_with_the_remedy(client, server, media: Path) -> None:
    lacking = [row["name"] for row in client.get("/api/anonymizers").json() if not row["ready"]]
    photo = client.send_file(media / "astronaut.jpg")
    failed = client.finish(client.begin(photo, anonymizer=lacking[0]))
    assert failed["state"] == "failed"
    assert "dp2 weights fetch" in failed["error"]


def test_reference_faces_say_what_they_need(client, media: Path) -> None:
    about = client.get("/api/about").json()
    photo, known = client.send_file(media / "group.jpg"), client.send_file(media / "grace_hopper.jpg")
    done = client.finish(client.begin(photo, references=[known["id"]]))
    if about["references"]:
        assert done["state"] == "done", done
    else:
        assert "dp2 weights fetch" in about["references_remedy"]
        assert "\n" not in about["references_remedy"]
        assert about["references_remedy"] in done["error"]


def test_openapi_describes_every_route(client) -> None:
    described = client.get("/api/openapi.json").json()["paths"]
    assert {"get", "post"} <= described["/api/jobs"].keys()
    assert {
        "/api/media",
        "/api/jobs/{job_id}",
        "/api/jobs/{job_id}/result",
        "/api/jobs/{job_id}/cancel",
    } <= described.keys()
    assert "delete" in described["/api/jobs/{job_id}"]
    assert client.get("/docs").status_code == 404


def test_results_of_a_session_come_as_one_zip(client, server, media: Path) -> None:
    photos = [client.send_file(media / name, "photo.jpg") for name in ("astronaut.jpg", "grace_hopper.jpg")]
    jobs = [client.finish(client.begin(photo)) for photo in photos]
    found = client.finish(client.begin(photos[0], task="detect"))
    wanted = [("job", job["id"]) for job in jobs]
    answer = client.get("/api/results", params=wanted)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["photo_anonymized.jpg", "photo_anonymized (2).jpg"]
        assert archive.read("photo_anonymized.jpg") == client.get(f"/api/jobs/{jobs[0]['id']}/result").content
    assert client.get("/api/results").status_code == 400
    assert client.get("/api/results", params=[*wanted, ("job", found["id"])]).status_code == 404
    with server.client() as stranger:
        assert stranger.get("/api/results", params=wanted).status_code == 404
