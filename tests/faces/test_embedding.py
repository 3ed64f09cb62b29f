"""Embeddings tell people apart, and are those of the published networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dp2.detect.faces.centerface import CenterFace
from dp2.errors import CheckpointMismatch, MissingWeights
from dp2.faces.alignment import SPHEREFACE, aligned
from dp2.faces.embedding import FaceNet, MobileFaceNet
from dp2.models.faces.inception_resnet_v1 import InceptionResnetV1


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Where several test processes share the processor, more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def embedder(shared_data: Path) -> MobileFaceNet:
    return MobileFaceNet(device="cpu", weights=str(shared_data / "weights" / "mobilefacenet_068.ckpt"))


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def faces(image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    ((found,),) = CenterFace(score_threshold=0.5)([image])
    return [image] * len(found), found.boxes, found.keypoints[:, :, :2]


@pytest.fixture(scope="module")
def group(shared_data: Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The nineteen of regjeringen.jpg."""
    return faces(read(shared_data / "images" / "regjeringen.jpg"))


def test_nineteen_people_are_nineteen_people(embedder: MobileFaceNet, group) -> None:
    images, boxes, points = group
    vectors = embedder(images, boxes, points)
    alike = vectors @ vectors.T
    assert vectors.shape == (19, 128)
    assert vectors.dtype == np.float32
    assert np.allclose(np.diag(alike), 1, atol=1e-5)
    assert (alike[~np.eye(19, dtype=bool)] < embedder.same_person).all()


def test_a_face_stays_itself_when_turned_darkened_and_shrunk(embedder: MobileFaceNet, shared_data: Path, group) -> None:
    image = Image.open(shared_data / "images" / "regjeringen.jpg").convert("RGB")
    changed = faces(
        (np.asarray(image.rotate(7).resize((image.width * 3 // 4, image.height * 3 // 4))) * 0.7).astype("u1")
    )
    alike = embedder(*changed) @ embedder(*group).T
    assert len(alike) == 19
    assert (alike.max(axis=1) > embedder.same_person).mean() > 0.9
    assert len(set(alike.argmax(axis=1))) == 19


def test_without_landmarks_the_box_will_do(embedder: MobileFaceNet, group) -> None:
    images, boxes, points = group
    sure = embedder(images, boxes, points)
    for guess in (None, np.full_like(points, np.nan)):
        assert ((embedder(images, boxes, guess) @ sure.T).argmax(axis=1) == np.arange(19)).all()


def test_a_batch_equals_faces_one_by_one(embedder: MobileFaceNet, astronaut: np.ndarray, hopper: np.ndarray) -> None:
    boxes = np.array([[175, 60, 275, 190], [200, 80, 330, 260]], np.float32)
    together = embedder([astronaut, hopper], boxes)
    alone = [embedder([image], box[None])[0] for image, box in zip((astronaut, hopper), boxes, strict=True)]
    assert np.allclose(together, alone, atol=1e-5)
    assert embedder([], np.zeros((0, 4), np.float32)).shape == (0, 128)


@pytest.mark.parametrize(
    ("boxes", "points"),
    [
        (np.zeros((2, 4)), None),
        (np.zeros((1, 4)), None),
        ([[0, 0, np.nan, 9]], None),
        ([[0, 0, 9, 9]], np.zeros((1, 4, 2))),
    ],
)
def test_what_does_not_fit_is_refused(embedder: MobileFaceNet, scene: np.ndarray, boxes, points) -> None:
    with pytest.raises(ValueError, match=r"boxes|landmarks"):
        embedder([scene], np.asarray(boxes, np.float32), points)


def random_weights(path: Path) -> dict[str, torch.Tensor]:
    """FaceNet's layout with the published file's extra classifier."""
    torch.manual_seed(0)
    network = InceptionResnetV1()
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bn.bias")):
            value.normal_(0, 0.2)
    state = network.state_dict() | {"logits.weight": torch.zeros(7, 512), "logits.bias": torch.zeros(7)}
    torch.save(state, path)
    return state


@pytest.fixture(scope="module")
def facenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("facenet") / "facenet.pt"
    random_weights(path)
    return path


def test_facenet_equals_facenet_pytorch(facenet_file: Path, astronaut: np.ndarray) -> None:
    theirs = pytest.importorskip("facenet_pytorch")
    from facenet_pytorch.models.utils.detect_face import extract_face

    peer = theirs.InceptionResnetV1(pretrained=None, classify=False).eval()
    state = torch.load(facenet_file, weights_only=True)
    peer.load_state_dict({key: value for key, value in state.items() if not key.startswith("logits")})
    box = np.array([175, 60, 275, 190], np.float32)
    with torch.no_grad():
        face = (extract_face(astronaut, box, 160, 14)[None] - 127.5) / 128
        expected = torch.nn.functional.normalize(peer(face) + peer(face.flip(3)))
    ours = FaceNet(device="cpu", weights=str(facenet_file))([astronaut], box[None])
    assert ours.shape == (1, 512)
    assert float(ours[0] @ expected[0].numpy()) > 1 - 1e-5


def test_another_networks_file_is_refused(shared_data: Path, scene: np.ndarray) -> None:
    wrong = FaceNet(device="cpu", weights=str(shared_data / "weights" / "mobilefacenet_068.ckpt"))
    with pytest.raises(CheckpointMismatch, match="InceptionResnetV1"):
        wrong([scene], np.array([[0, 0, 50, 50]], np.float32))


def test_absent_weights_are_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DP2_HOME", str(tmp_path))
    monkeypatch.delenv("DP2_WEIGHTS", raising=False)
    with pytest.raises(MissingWeights, match="dp2 weights fetch facenet/vggface2"):
        FaceNet()


def test_the_graph_is_the_torch_network(embedder: MobileFaceNet, shared_data: Path, group) -> None:
    from dp2.faces.embedding import _embed, _load_mobile_facenet
    from dp2.faces.embedding_graph import to_onnx
    from dp2.inference.engine import load_engine
    from dp2.inference.lazy_network import LazyNetwork
    from dp2.inference.network import Network

    images, boxes, points = group
    path = shared_data / "weights" / "mobilefacenet_068.ckpt"
    faces = [aligned(image, row, SPHEREFACE, (112, 96)) for image, row in zip(images, points, strict=True)]
    in_torch = _embed(LazyNetwork(str(path), "cpu", _load_mobile_facenet), faces, 128)
    assert np.abs(embedder(images, boxes, points) - in_torch).max() < 1e-5
    pair = (np.stack([faces[0], faces[0][:, ::-1]]).transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128
    sums = load_engine(Network(to_onnx(path)), engine="onnxruntime").run_named({"faces": pair})[0].sum(0)
    assert np.abs(sums / np.linalg.norm(sums) - in_torch[0]).max() < 1e-5


@pytest.mark.parametrize("damage", ["missing", "unknown", "shape"])
def test_a_checkpoint_that_does_not_fit_the_graph_is_refused(shared_data: Path, tmp_path: Path, damage: str) -> None:
    path = shared_data / "weights" / "mobilefacenet_068.ckpt"
    published = torch.load(path, map_location="cpu", weights_only=True)["net_state_dict"]
    state = dict(published)
    if damage == "missing":
        del state["blocks.3.conv.1.running_var"]
    elif damage == "unknown":
        state["blocks.99.conv.0.weight"] = torch.zeros(1)
    else:
        state["linear1.conv.weight"] = torch.zeros(64, 512, 1, 1)
    torch.save(state, tmp_path / "x.pth")
    wrong = MobileFaceNet(device="cpu", weights=str(tmp_path / "x.pth"))
    with pytest.raises(CheckpointMismatch, match=r"does not fit MobileFaceNet: (blocks|linear1)"):
        wrong([np.zeros((50, 50, 3), np.uint8)], np.array([[0, 0, 50, 50]], np.float32))
    save_file(published, tmp_path / "x.safetensors")  # as `dp2 weights import` writes it
    right = MobileFaceNet(device="cpu", weights=str(tmp_path / "x.safetensors"))
    assert right([np.zeros((50, 50, 3), np.uint8)], np.array([[0, 0, 50, 50]], np.float32)).shape == (1, 128)
