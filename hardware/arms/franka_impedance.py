"""Builds a Franka's tracking motions from its settings; franky executes them at 1 kHz."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from hardware.arms.franka_settings import JOINT_ENDS, FrankaParameters

_AT_ONCE = 1e-6
"""s, time constant of gain changes: gains are constant, and a fresh motion must start with them."""
_STOP_RAMP = 0.1
"""s in which the control law's torques fade to pure damping."""


def tracking_motion(franky: ModuleType, settings: FrankaParameters, reference: Any) -> Any:
    """Impedance control about `reference`, which its `set_reference` replaces; ends by itself after `stale_stop`.

    The law's only state is its gains, which start at their final values: a fresh motion continues the torques of the
    previous one.
    """
    lower, upper = JOINT_ENDS[settings.model]
    motion = franky.CartesianImpedanceTrackingMotion(
        translational_stiffness=settings.translational_stiffness,
        rotational_stiffness=settings.rotational_stiffness,
        translational_error_clip=np.full(3, settings.translational_error_clip),
        rotational_error_clip=np.full(3, settings.rotational_error_clip),
        max_delta_tau=settings.max_torque_step,
        lower_joint_limits=np.array(lower),
        upper_joint_limits=np.array(upper),
        posture_task=_elbow_task(franky, settings),
        gains_time_constant=_AT_ONCE,
    )
    motion.set_gains(_gains(franky, settings))
    motion.set_reference(reference)
    expired = settings.stale_stop < franky.Measure.REL_TIME
    motion.add_reaction(franky.TorqueReaction(expired, stop_motion(franky, settings)))
    return motion


_JOINT_STIFFNESS = (600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0)
"""Nm/rad; as in the vendor's joint impedance example."""
_JOINT_DAMPING = (50.0, 50.0, 50.0, 50.0, 30.0, 25.0, 15.0)
"""Nm s/rad"""


def posture_motion(franky: ModuleType, settings: FrankaParameters, reference: Any) -> Any:
    """The same for joint angles, while homing: a spring at every joint."""
    lower, upper = JOINT_ENDS[settings.model]
    motion = franky.JointImpedanceTrackingMotion(
        stiffness=np.array(_JOINT_STIFFNESS),
        damping=np.array(_JOINT_DAMPING),
        lower_joint_limits=np.array(lower),
        upper_joint_limits=np.array(upper),
        max_delta_tau=settings.max_torque_step,
        gains_time_constant=_AT_ONCE,
    )
    motion.set_gains(franky.JointImpedanceGains(np.array(_JOINT_STIFFNESS), np.array(_JOINT_DAMPING)))
    motion.set_reference(reference)
    expired = settings.stale_stop < franky.Measure.REL_TIME
    motion.add_reaction(franky.TorqueReaction(expired, stop_motion(franky, settings)))
    return motion


def _gains(franky: ModuleType, settings: FrankaParameters) -> Any:
    stiffness = (settings.translational_stiffness, settings.rotational_stiffness)
    damping = (settings.damping_ratio * 2.0 * math.sqrt(value) for value in stiffness)
    return franky.CartesianImpedanceGains.isotropic(*stiffness, *damping)


def _elbow_task(franky: ModuleType, settings: FrankaParameters) -> Any:
    if not settings.home or not settings.elbow_stiffness:
        return None
    return franky.PostureTask(np.array(settings.home), stiffness=settings.elbow_stiffness)


def stop_motion(franky: ModuleType, settings: FrankaParameters) -> Any:
    """Damps the arm to rest and ends; the control box holds from there."""
    return franky.TorqueStopMotion(ramp_duration=_STOP_RAMP, max_delta_tau=settings.max_torque_step)
