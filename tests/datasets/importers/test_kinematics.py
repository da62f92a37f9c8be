"""Poses from joint angles: the arms known by name against a URDF and the simulated arm, and files of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.importers.defects import RefusedError
from datasets.importers.kinematics import forward_kinematics
from datasets.kinematics import ARMS
from datasets.randomness import stream

TWO_LINKS = """
<robot name="two">
  <link name="base"/>
  <link name="upper"><visual><geometry><mesh filename="package://absent/upper.stl"/></geometry></visual></link>
  <link name="lower"/>
  <link name="flange"/>
  <joint name="a" type="revolute"><parent link="base"/><child link="upper"/><origin xyz="0 0 0.3"/>
    <axis xyz="0 0 1"/><limit lower="-3" upper="3" effort="1" velocity="1"/></joint>
  <joint name="b" type="revolute"><parent link="upper"/><child link="lower"/><origin xyz="0.4 0 0"/>
    <axis xyz="0 1 0"/><limit lower="-3" upper="3" effort="1" velocity="1"/></joint>
  <joint name="c" type="fixed"><parent link="lower"/><child link="flange"/><origin xyz="0.2 0 0"/></joint>
</robot>
"""


def test_the_six_joint_arm_is_the_one_of_the_simulated_cell() -> None:
    pytest.importorskip("mujoco")
    from hardware.simulation.arm import ArmKinematics

    arm = ArmKinematics()
    joints = stream(3, "kinematics", 0).uniform(-1, 1, (20, 6)) * [2, 1, 1, 2, 1, 2] - [0, 0.3, 1, 0, -1, 0]
    poses = forward_kinematics("xarm6")(joints)
    offsets = []
    for angles, pose in zip(joints, poses, strict=True):
        position, wxyz = arm.forward(angles)
        assert abs(np.roll(wxyz, -1) @ pose[3:]) == pytest.approx(1, abs=1e-6)
        offsets.append(np.linalg.norm(position - pose[:3]))
    # the simulated arm's pose is of its gripper's tool point, a fixed way from the flange
    assert np.ptp(offsets) < 1e-5


@pytest.mark.parametrize(
    ("name", "joints", "position"),
    [
        ("xarm6", [0, 0, 0, 0, 0, 0], [0.207, 0, 0.112]),
        ("xarm7", [0, 0, 0, 0, 0, 0, 0], [0.206, 0, 0.1205]),
        ("fr3", [0, 0, 0, 0, 0, 0, 0], [0.088, 0, 0.926]),
        ("fr3", [0, -np.pi / 4, 0, -3 * np.pi / 4, 0, np.pi / 2, np.pi / 4], [0.3069, 0, 0.5903]),
    ],
)
def test_arms_by_name_stand_where_their_makers_say(
    name: str, joints: list[float], position: list[float]
) -> None:
    pose = forward_kinematics(name)(np.array([joints], np.float64))
    assert pose[0, :3] == pytest.approx(position, abs=1e-3)


def test_a_urdf_is_read_without_its_meshes(tmp_path: Path) -> None:
    path = tmp_path / "two.urdf"
    path.write_text(TWO_LINKS)
    pose = forward_kinematics(str(path))(np.array([[np.pi / 2, 0.0], [0.0, np.pi / 2]]))
    np.testing.assert_allclose(pose[:, :3], [[0, 0.6, 0.3], [0.4, 0, 0.1]], atol=1e-9)


def test_wrong_kinematics_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "two.urdf"
    path.write_text(TWO_LINKS)
    with pytest.raises(RefusedError, match="xarm6, xarm7, fr3"):
        forward_kinematics("ur5")
    with pytest.raises(RefusedError, match="the arm has 7 joints, the source 6"):
        forward_kinematics("xarm7")(np.zeros((1, 6)))
    with pytest.raises(RefusedError, match="has 2 joints, the source 6"):
        forward_kinematics(str(path))(np.zeros((1, 6)))
    with pytest.raises(RefusedError, match="upper, lower, flange"):
        forward_kinematics(f"{path}:hand")
    path.write_text("<robot")
    with pytest.raises(RefusedError, match="cannot be loaded as URDF or MJCF"):
        forward_kinematics(str(path))


def test_angles_that_are_not_finite_give_no_pose() -> None:
    for name, chain in ARMS.items():
        joints = np.zeros((2, len(chain.links)))
        joints[1, 0] = np.nan
        pose = forward_kinematics(name)(joints)
        assert np.isfinite(pose[0]).all() and np.isnan(pose[1]).any()
