"""The face model that dp2 ships, and poses fitted with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dp2.data.posed import rotation_of
from dp2.errors import CheckpointMismatch, UnreadableCheckpoint
from dp2.faces.mesh import FaceModel, measures, read_model
from dp2.faces.pose import Pose, fit_pose, no_expression


def test_mirroring_twice_gives_every_point_back(model: FaceModel) -> None:
    np.testing.assert_array_equal(model.mirror[model.mirror], np.arange(468))


def test_the_mean_face_is_symmetric_and_looks_at_the_camera(model: FaceModel) -> None:
    mirrored = model.mean[model.mirror] * (-1, 1, 1)
    assert np.abs(model.mean - mirrored).max() < 0.02
    assert model.mean[:, 2].argmin() in (1, 4)  # the tip of the nose is nearest


def test_triangles_are_all_turned_to_the_front(model: FaceModel) -> None:
    a, b, c = (model.uv[model.triangles[:, corner]] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    assert (area > 0).all()


def test_an_expression_is_measured_as_it_was_set(model: FaceModel) -> None:
    wanted = no_expression(model) + np.array([0.3, 0.1, -0.05, 0.03, 0.05], np.float32)
    found = measures(model.points(np.zeros(0, np.float32), wanted))
    np.testing.assert_allclose(found, wanted, atol=0.06)


@pytest.mark.parametrize("yaw", [-60, -20, 0, 35, 80])
def test_a_pose_is_found_again_from_the_points_of_a_face(model: FaceModel, yaw: float) -> None:
    rotation = rotation_of(np.radians(yaw), 0.1, -0.2)
    shape = np.random.default_rng(1).normal(0, 0.5, 20).astype(np.float32)
    pose = Pose(rotation, 40.0, np.array([100, 120, 0], np.float32), model.usual)
    found, _ = fit_pose(pose.place(model.points(shape, model.usual)), model)
    assert abs(found.yaw - pose.yaw) < 4
    assert found.scale == pytest.approx(40, rel=0.05)
    np.testing.assert_allclose(found.shift[:2], (100, 120), atol=3)


def test_yaw_is_the_side_to_which_the_nose_points(model: FaceModel) -> None:
    pose = Pose(rotation_of(np.radians(40), 0, 0), 50.0, np.zeros(3, np.float32), model.usual)
    points = pose.place(model.mean)
    assert pose.yaw == pytest.approx(40, abs=0.1)
    assert points[1, 0] > points[[234, 454], 0].mean()


def test_what_is_no_face_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCheckpoint, match="no face model"):
        read_model(tmp_path / "absent.safetensors")
    save_file({"mean": np.zeros((468, 3), np.float32)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointMismatch, match="no face model"):
        read_model(tmp_path / "other.safetensors")
