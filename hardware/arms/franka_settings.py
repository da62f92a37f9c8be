"""What a task file says about a Franka arm; `hardware.arms.franka` adds the driver that is built from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hardware.settings import ArmSettings, JointEnds, Offset, Pace, numeric

JOINT_ENDS: dict[str, JointEnds] = {
    "fr3": (
        (-2.9007, -1.8361, -2.9007, -3.0770, -2.8763, 0.4398, -3.0508),
        (2.9007, 1.8361, 2.9007, -0.1169, 2.8763, 4.6216, 3.0508),
    ),
    "panda": (
        (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
        (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    ),
}
"""rad, lower and upper, from the vendor's data sheets."""
_FASTEST = Pace(speed=2.1, acceleration=7.5, jerk=3750.0)
"""Limits of the slowest joint of both models, rounded down."""


class FrankaParameters(ArmSettings):
    """The fields of a Franka arm, without its driver."""

    driver: Literal["franka"] = "franka"
    """FR3 and Panda through franky."""
    joints: Literal[7] = 7
    """Number of joints."""
    address: str = Field(min_length=1)
    """Host name or IP address of the control box."""
    model: Literal["fr3", "panda"] = "fr3"
    """Determines the joint limits."""
    realtime: Literal["enforce", "ignore"] = "enforce"
    """``enforce`` refuses to start without a real-time kernel; ``ignore`` risks communication faults."""
    translational_stiffness: float = Field(default=1200.0, ge=10.0, le=3000.0)
    """Translational stiffness of the hand about its target, N/m."""
    rotational_stiffness: float = Field(default=60.0, ge=1.0, le=300.0)
    """Rotational stiffness of the hand about its target, Nm/rad."""
    damping_ratio: float = Field(default=1.0, ge=0.3, le=2.0)
    """Damping over 2 sqrt(stiffness)."""
    elbow_stiffness: float = Field(default=10.0, ge=0.0, le=50.0)
    """Nullspace stiffness of the elbow about its home position, without moving the hand, Nm/rad."""
    translational_error_clip: float = Field(default=0.03, ge=0.005, le=0.2)
    """Largest position error that acts, m: limits the force to stiffness times this."""
    rotational_error_clip: float = Field(default=0.3, ge=0.02, le=1.0)
    """Largest rotation error that acts, rad."""
    max_torque_step: float = Field(default=1.0, gt=0.0, le=1.0)
    """Largest change of a joint's torque in one millisecond, Nm."""
    torque_threshold: float = Field(default=20.0, ge=1.0, le=100.0)
    """External torque at a joint that triggers the reflex, Nm."""
    force_threshold: float = Field(default=30.0, ge=1.0, le=100.0)
    """External force at the hand that triggers the reflex, N (torques about its axes: Nm)."""
    load_mass: float = Field(default=0.0, ge=0.0, le=3.0)
    """Mass in addition to the end effector configured in Desk, kg."""
    load_center: Offset = (0.0, 0.0, 0.0)
    """Centre of that mass in the flange frame, m."""
    home_dynamics: float = Field(default=0.1, ge=0.01, le=0.5)
    """Speed, acceleration and jerk of homing, as a fraction of the arm's limits."""
    stale_stop: float = Field(default=0.2, ge=0.06, le=1.0)
    """The arm stops by itself after this long without a command, s; at the earliest after three quarters of it."""
    report_age: float = Field(default=0.1, ge=0.02, le=0.8)
    """Oldest report of the arm on which motion may continue, s; after 1 s libfranka times out and blocks its caller."""

    @property
    def occupies(self) -> str:
        return f"Franka at {numeric(self.address)}"

    @property
    def geometry(self) -> str:
        return "fr3"  # a Panda's links have the same lengths

    @property
    def joint_ends(self) -> JointEnds:
        return JOINT_ENDS[self.model]

    @property
    def home_pace(self) -> Pace:
        share = self.home_dynamics
        return Pace(
            speed=share * _FASTEST.speed,
            acceleration=share * _FASTEST.acceleration,
            jerk=share * _FASTEST.jerk,
        )

    @property
    def home_within(self) -> float:
        return 0.02  # the joint controller is a spring, and friction holds the wrist back
