"""The connection to a Franka: loads franky, connects, and turns its exceptions and states into messages.

Shared by the arm and the hand, and the only file that imports franky; drives nothing itself.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from hardware.arms.interface import ArmError, ArmFault, ArmFaultError, ArmLinkError, LimitCheck

_PIP = "pip install 'station[franka]'"
_WHEELS = "https://timschneider42.github.io/franky/whl/by-robot-server-version"
_PACKAGED_SERVER = 10
"""Robot server version of the build on the package index; builds for others are on franky's own index."""
_OLDEST_SERVER = 2

_CONNECTING = 5.0
"""s that a control box gets to answer; a reachable one takes a fraction of a second."""

_REALTIME_FLAG = Path("/sys/kernel/realtime")

_REACH = (
    "Check address and cable, unlock the joints and activate FCI in Desk, and end other programs that drive "
    "this arm."
)
_UNKNOWN = "control"
_SEE_DESK = "Look at the arm's state in Desk"
_GENERAL = "Clear the arm's surroundings, find the cause, then recover."
_RELEASE = "Make sure that nobody is in reach, release the stop button, then recover."
_REMEDIES = {
    "user_stopped": _RELEASE,
    "manual_recovery": "Follow the recovery that Desk offers, then recover.",
    "reflex": "The arm met something: clear its way, then recover; raise the collision thresholds only if it did not.",
    "communication_constraints": (
        "The 1 kHz link was late: use a real-time kernel, a cable straight to the control box and the CPU governor "
        "'performance'; then recover."
    ),
    "joint_position_limits": "Move the joint off its limit by hand with the guiding button, then recover.",
    "velocity": "Lower the velocity limits in [safety], then recover.",
    "torque_discontinuity": "Lower max_torque_step or the stiffness of this arm, then recover.",
    "instability": "Lower the stiffness of this arm, then recover.",
    "self_collision": "Guide the arm away from itself by hand, then recover.",
    "power_limit": "Lower the velocity and acceleration limits in [safety], then recover.",
    "tau_J_range": "Take weight off the arm and check load_mass, then recover.",
}
"""Part of the vendor's error name -> remedy; the first match counts."""

_MODES = {
    "Reflex": ("reflex", "a reflex stopped the arm", _GENERAL),
    "UserStopped": ("user_stopped", "the stop button is pressed", _RELEASE),
    "Guiding": (
        "guiding",
        "the arm is being guided by hand",
        "Let go of the guiding button, then recover.",
    ),
    "Other": (
        "not_ready",
        "the arm is not ready for control",
        f"{_SEE_DESK}: unlock the joints, choose execution, activate FCI; then recover.",
    ),
    "AutomaticErrorRecovery": (
        "recovering",
        "the arm is recovering",
        "Wait until it has, then recover.",
    ),
}
"""Robot mode -> code, text, remedy; modes not listed are no fault."""


def load_franky(arm: str) -> ModuleType:
    """The franky package. Raises ArmError with the pip line when it is missing or does not load."""
    try:
        return importlib.import_module("franky")
    except ImportError as error:
        raise ArmError(
            f"{arm}: the package franky-control is missing or does not load ({error}). Install it: {_PIP} "
            "(Linux on x86_64; a Panda or an older system needs a build from franky's own index)."
        ) from error


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    """A thread's scheduling policy and priority."""

    policy: int
    priority: os.sched_param

    @classmethod
    def of_this_thread(cls) -> Scheduling:
        return cls(policy=os.sched_getscheduler(0), priority=os.sched_getparam(0))

    def adopt(self) -> None:
        """Apply it to this thread, where the system allows it; threads created later inherit it."""
        with suppress(PermissionError):
            os.sched_setscheduler(0, self.policy, self.priority)


def failures(franky: ModuleType) -> tuple[type[Exception], ...]:
    """What franky's calls raise: its own exceptions, and RuntimeError from its planner and sockets."""
    return franky.Exception, RuntimeError


def connected(franky: ModuleType, name: str, address: str, connect: Callable[[], Any]) -> Any:
    """The result of `connect`, with a time-out: libfranka waits for ever for a box that accepts but stays silent.

    A connection that succeeds later is closed at once.

    Raises:
        ArmLinkError: no answer. ArmError: the box is incompatible with this franky, or refuses.
    """
    outcome: Future[Any] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(connect())
        except Exception as error:  # noqa: BLE001 - any error is passed on to the waiting thread
            outcome.set_exception(error)

    threading.Thread(target=attempt, name=f"connecting {name}", daemon=True).start()
    try:
        return outcome.result(_CONNECTING)
    except TimeoutError as error:
        raise ArmLinkError(
            f"{name}: the control box at {address} has not answered for {_CONNECTING:g} s. {_REACH}"
        ) from error
    except failures(franky) as error:
        raise _connection_error(franky, name, address, error) from error


def _connection_error(franky: ModuleType, arm: str, address: str, error: Exception) -> ArmError:
    """The cause of a failed connection, and the remedy."""
    text = vendor_text(error)
    if isinstance(error, franky.IncompatibleVersionException):
        return ArmError(_other_build(arm, address, text))
    if isinstance(error, franky.RealtimeException):
        return ArmError(realtime_sentence(arm, text))
    if isinstance(error, (franky.NetworkException, RuntimeError)):
        return ArmLinkError(f"{arm}: no connection to the control box at {address}: {text} {_REACH}")
    return ArmError(f"{arm}: the control box at {address} refused the connection: {text} {_SEE_DESK}.")


def _other_build(arm: str, address: str, text: str) -> str:
    found = re.search(r"server version:\s*(\d+)", text)
    server = int(found.group(1)) if found else None
    if server is None or not server >= _OLDEST_SERVER:
        remedy = f"Choose the build for the robot's server version from {_WHEELS}/<version>/."
    elif server > _PACKAGED_SERVER:
        remedy = "Install a newer franky: pip install --upgrade franky-control."
    else:
        remedy = (
            f"This robot's server has version {server}; install the build for it: pip install --force-reinstall "
            f"franky-control --extra-index-url {_WHEELS}/{server}/ (or update the robot's system in Desk)."
        )
    return f"{arm}: the installed franky is incompatible with the control box at {address}: {text} {remedy}"


def realtime_sentence(arm: str, text: str) -> str:
    """The message when the 1 kHz loop may not run in real time."""
    return (
        f"{arm}: {text} Boot a PREEMPT_RT kernel (uname -v names it; Ubuntu: sudo pro enable realtime-kernel) and "
        "allow your user real-time priority (group realtime with rtprio 99 in /etc/security/limits.conf). To try "
        'without, at the price of communication faults, set realtime = "ignore" for this arm.'
    )


def realtime_check(*, enforced: bool) -> LimitCheck:
    """Whether this computer can keep up with the 1 kHz link."""
    realtime = _REALTIME_FLAG.exists() and _REALTIME_FLAG.read_text().strip() == "1"
    return LimitCheck(
        name="real time",
        ok=realtime or not enforced,
        detail="PREEMPT_RT kernel"
        if realtime
        else f"no PREEMPT_RT kernel{'' if enforced else ', ignored by the task'}",
        remedy="" if realtime else "Boot a PREEMPT_RT kernel; without one expect communication faults.",
    )


def installed_version() -> str:
    """franky's version; builds for older robots include their libfranka version."""
    return version("franky-control")


def vendor_text(error: Exception) -> str:
    """The vendor's message on one line, ending in a full stop."""
    text = str(error).partition("control_command_success_rate")[0].removeprefix("libfranka:")
    text = " ".join(text.split())
    return text if text.endswith((".", "!")) else f"{text}."


def motion_error(franky: ModuleType, arm: str, error: Exception) -> ArmError:
    """The error that ended a motion or refused a command: a fault, or a lost link."""
    text = vendor_text(error)
    names = re.findall(r'"(\w+)"', text)
    code = "+".join(names) or _code_of(text)
    socket_failed = isinstance(error, RuntimeError) and code == _UNKNOWN
    if socket_failed or isinstance(error, franky.NetworkException):
        return ArmLinkError(
            f"{arm}: the link to the control box is lost: {text} Check its power and the cable, then recover, which "
            "reconnects."
        )
    if isinstance(error, franky.RealtimeException):
        return ArmError(realtime_sentence(arm, text))
    return ArmFaultError(ArmFault(arm=arm, code=code, text=text, remedy=_remedy(code)))


def _code_of(text: str) -> str:
    for words, code in (
        ("user stop", "user_stopped"),
        ("manual error recovery", "manual_recovery"),
        ("safety function", "safety_function"),
        ("reflex", "reflex"),
        ("preempted", "preempted"),
        ("planner", "motion_planner"),
        ("not possible", "command_not_possible"),
    ):
        if words in text.lower():
            return code
    return _UNKNOWN


def _remedy(code: str) -> str:
    return next((remedy for part, remedy in _REMEDIES.items() if part in code), _GENERAL)


def fault_in(arm: str, state: Any) -> ArmFault | None:
    """The fault that a robot state reports; None in the modes Idle and Move."""
    mode = _MODES.get(state.robot_mode.name)
    if mode is None:
        return None
    code, text, remedy = mode
    names = active_errors(state)
    if names:
        code = "+".join(names)
        remedy = _remedy(code)
    return ArmFault(arm=arm, code=code, text=text, remedy=remedy)


def active_errors(state: Any) -> list[str]:
    """The vendor's names of the errors in a robot state."""
    return re.findall(r"\"(\w+)\"", repr(state.current_errors))
