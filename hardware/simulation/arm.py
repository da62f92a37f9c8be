"""The simulated arm's controller at 120 Hz: interpolation of tool poses, inverse kinematics, servo commands.

One object drives one arm. It commands joint servos; it neither steps the physics nor applies workspace limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.simulation.scene import JOINT_DAMPING, SERVO_DAMPING, STIFFNESS, STROKE, build_arm
from hardware.simulation.settings import TICK_HZ

Array = NDArray[np.float64]

TICK = 1.0 / TICK_HZ
HOME = (0.36, 0.0, 0.26)
"""Tool position at home, m; the tool points straight down."""
DOWN = (0.0, 1.0, 0.0, 0.0)
"""The reference orientation, wxyz."""
_DAMPING = 0.03
_JOINT_SPEED = 3.14
_LEAD = (SERVO_DAMPING + JOINT_DAMPING) / STIFFNESS
"""Velocity feed-forward, s: cancels the lag that the servo's damping causes."""
_ELBOW_UP = np.array([0.0, -0.3, -1.0, 0.0, 1.3, 0.0])


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A tool pose and a gripper opening."""

    position: Array
    """[3] m, base frame."""
    quaternion: Array
    """[4] wxyz, unit."""
    gripper: float
    """0 closed .. 1 open."""


def home_pose() -> Pose:
    """The start pose of every episode: above the table between tray and juicer, gripper open."""
    return Pose(position=np.array(HOME), quaternion=np.array(DOWN), gripper=1.0)


def rotation_between(start: Array, goal: Array) -> Array:
    """The shortest rotation vector [3], rad, in `start`'s frame, from `start` to `goal` (both wxyz)."""
    turn = np.empty(3)
    mujoco.mju_subQuat(turn, goal, start)
    return turn


def rotated(start: Array, turn: Array) -> Array:
    """`start` (wxyz) turned by the rotation vector `turn`, rad, in its own frame."""
    result = start.copy()
    mujoco.mju_quatIntegrate(result, turn, 1.0)
    return result


class ArmKinematics:
    """Forward and damped inverse kinematics of the xArm-6 to its tool."""

    def __init__(self) -> None:
        self._model = build_arm()
        self._data = mujoco.MjData(self._model)
        self._site = self._model.site("tool").id
        self._jacobian = np.zeros((6, 6))
        self._low, self._high = self._model.jnt_range.T.copy()

    def forward(self, joints: Array) -> tuple[Array, Array]:
        """Tool position [3] m and orientation [4] wxyz at `joints` [6] rad."""
        self._data.qpos[:] = joints
        mujoco.mj_kinematics(self._model, self._data)
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self._data.site_xmat[self._site])
        return self._data.site_xpos[self._site].copy(), quaternion

    def approach(self, joints: Array, position: Array, quaternion: Array, longest: float) -> Array:
        """`joints` after one damped least-squares step to a tool pose, no joint moving more than `longest` rad."""
        here, orientation = self.forward(joints)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        error = np.empty(6)
        error[:3] = position - here
        turn = rotation_between(orientation, quaternion)
        mujoco.mju_rotVecQuat(error[3:], turn, orientation)
        jacobian = self._jacobian
        system = jacobian @ jacobian.T
        system.flat[::7] += _DAMPING**2
        mujoco.mju_cholFactor(system, 0.0)
        mujoco.mju_cholSolve(error, system, error)
        step = jacobian.T @ error
        largest = float(np.abs(step).max())
        if largest > longest:
            step *= longest / largest
        reached: Array = np.minimum(np.maximum(joints + step, self._low), self._high)
        return reached

    def solve(self, pose: Pose) -> Array:
        """Joint angles [6] rad of a pose in front of the arm, elbow up."""
        joints = _ELBOW_UP.copy()
        for _ in range(200):
            joints = self.approach(joints, pose.position, pose.quaternion, 0.1)
        return joints


@dataclass(frozen=True, kw_only=True)
class ServoState:
    """The controller's state between ticks."""

    joints: Array
    """[6] rad, commanded."""
    pose: Pose
    """The commanded pose."""
    velocity: Array
    """[6] of the commanded pose: m/s, and rad/s in the tool's frame."""
    gripper_velocity: float = 0.0
    """Rate of the commanded opening, 1/s."""


class CartesianServo:
    """Follows straight lines between tool poses with joint servos."""

    def __init__(self, kinematics: ArmKinematics, home: Array) -> None:
        self._kinematics = kinematics
        self._home = home
        self.state = self._at_home()

    def _at_home(self) -> ServoState:
        position, quaternion = self._kinematics.forward(self._home)
        pose = Pose(position=position, quaternion=quaternion, gripper=1.0)
        return ServoState(joints=self._home.copy(), pose=pose, velocity=np.zeros(6))

    def reset(self) -> None:
        """Return to home, at rest."""
        self.state = self._at_home()

    def path(self, goal: Pose, ticks: int) -> list[Pose]:
        """The next `ticks` poses on the straight line from the commanded pose to `goal`, ending with `goal`."""
        start = self.state.pose
        turn = rotation_between(start.quaternion, goal.quaternion)
        shares = np.arange(1, ticks) / ticks
        way = [
            Pose(
                position=start.position + share * (goal.position - start.position),
                quaternion=rotated(start.quaternion, share * turn),
                gripper=start.gripper + share * (goal.gripper - start.gripper),
            )
            for share in shares.tolist()
        ]
        return [*way, goal]

    def coast(self, ticks: int) -> list[Pose]:
        """The next poses of a deceleration to rest within `ticks`, from the velocity of the last command."""
        pose, velocity, closing = self.state.pose, self.state.velocity, self.state.gripper_velocity
        way = []
        for tick in range(ticks):
            share = TICK * (1.0 - (tick + 1) / ticks)
            pose = Pose(
                position=pose.position + share * velocity[:3],
                quaternion=rotated(pose.quaternion, share * velocity[3:]),
                gripper=float(np.clip(pose.gripper + share * closing, 0.0, 1.0)),
            )
            way.append(pose)
        return way

    def command(self, pose: Pose, control: Array) -> None:
        """Write the servo commands [7], joints then finger travel, that move the tool to `pose` in one tick."""
        old = self.state
        joints = self._kinematics.approach(old.joints, pose.position, pose.quaternion, _JOINT_SPEED * TICK)
        control[:6] = joints + _LEAD * (joints - old.joints) / TICK
        control[6] = pose.gripper * STROKE
        velocity = np.empty(6)
        velocity[:3] = (pose.position - old.pose.position) / TICK
        velocity[3:] = rotation_between(old.pose.quaternion, pose.quaternion) / TICK
        closing = (pose.gripper - old.pose.gripper) / TICK
        self.state = ServoState(joints=joints, pose=pose, velocity=velocity, gripper_velocity=closing)
