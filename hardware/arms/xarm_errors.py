"""The xArm's error and warning codes as named exceptions with the vendor's text and the operator's remedy.

Codes are the controller's (the vendor's SDK holds their texts). The driver queries them.
"""

from __future__ import annotations

from hardware.arms import xarm_sdk
from hardware.arms.interface import ArmFault, ArmFaultError


class EmergencyStopPressedError(ArmFaultError):
    """C1-C3: an emergency stop is pressed, or was pressed and is not cleared yet."""


class JointFaultError(ArmFaultError):
    """C10-C17: a fault of a motor, its drive or its encoder."""


class ToolLinkError(ArmFaultError):
    """C18, C19, C28: the controller cannot reach the device on the tool connector."""


class CollisionFoundError(ArmFaultError):
    """C22, C31, C37: the arm hit something, or was about to collide with itself."""


class MotionRefusedError(ArmFaultError):
    """C21, C23-C25, C30, C38, C40, C60: a pose or a speed that the arm cannot or must not reach."""


class BoundaryReachedError(ArmFaultError):
    """C35: the tool reached the boundary that the arm's own controller enforces."""


class ControllerFaultError(ArmFaultError):
    """Any other error of the controller."""


class ControllerWarningError(ArmFaultError):
    """A warning: the controller did not carry out a command."""


_AFTER = "then recover the arm"
_REMEDIES = {
    1: f"Make sure that all is safe, turn the red button on the control box until it springs out, {_AFTER}.",
    2: f"Make sure that all is safe, close the emergency inputs (EI) of the control box, {_AFTER}.",
    3: f"Make sure that all is safe, release the button of the enabling device, {_AFTER}.",
    18: f"Check the force sensor's plug, {_AFTER}.",
    19: f"Check the gripper's plug and that the task file names the gripper that is mounted, {_AFTER}.",
    22: f"Look which links come too close; move them apart by hand in the vendor's manual mode, {_AFTER}.",
    23: f"Move the joint back inside its range with the vendor's app, {_AFTER}; keep the workspace box away from it.",
    24: f"The command was too fast for a joint, often near a stretched arm: {_AFTER}, and lower the velocity limit or "
    "keep the workspace box inside the arm's reach.",
    28: f"Check the tool's plug; switch the arm off and on with the emergency stop, {_AFTER}.",
    31: f"See what the arm touched and free it; check the load in the task file, {_AFTER}.",
    35: f"Move the tool back inside by hand in the vendor's manual mode, {_AFTER}; make the workspace box smaller than "
    "the boundary.",
    37: f"Check the load and the mounting in the vendor's app, {_AFTER}.",
}
_SWITCH_OFF = (
    "Press the emergency stop, wait 5 s, release it, then recover the arm; if it stays, ask the vendor."
)
_KINDS: tuple[tuple[type[ArmFaultError], frozenset[int]], ...] = (
    (EmergencyStopPressedError, frozenset({1, 2, 3})),
    (JointFaultError, frozenset(range(10, 18))),
    (ToolLinkError, frozenset({18, 19, 28})),
    (CollisionFoundError, frozenset({22, 31, 37})),
    (MotionRefusedError, frozenset({21, 23, 24, 25, 30, 38, 40, 60})),
    (BoundaryReachedError, frozenset({35})),
)
_BEYOND_RECOVERY = frozenset({26, 38, 39, 41, 42, 110})
"""Errors for which the vendor refers to its support."""


def error_fault(arm: str, code: int) -> ArmFault:
    """The fault for error `code` of the controller."""
    title, advice = xarm_sdk.error_texts(code)
    remedy = _REMEDIES.get(code) or (_SWITCH_OFF if code in range(10, 18) else _from(advice))
    recoverable = code not in _BEYOND_RECOVERY
    return ArmFault(arm=arm, code=f"C{code}", text=title, remedy=remedy, recoverable=recoverable)


def warning_fault(arm: str, code: int) -> ArmFault:
    """The fault for warning `code` of the controller."""
    title, advice = xarm_sdk.warning_texts(code)
    return ArmFault(arm=arm, code=f"W{code}", text=title, remedy=_from(advice))


def as_error(fault: ArmFault) -> ArmFaultError:
    """The named exception for a fault."""
    number = int(fault.code[1:])
    if fault.code.startswith("W"):
        return ControllerWarningError(fault)
    for kind, codes in _KINDS:
        if number in codes:
            return kind(fault)
    return ControllerFaultError(fault)


def _from(advice: str) -> str:
    """The vendor's advice, and how to continue."""
    sentence = advice.strip().rstrip(".")
    return (
        f"{sentence}; {_AFTER}."
        if sentence
        else "Look at the arm and its surroundings, then recover the arm."
    )
