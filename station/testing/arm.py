"""The check of an arm's driver, on an emulator, or on an arm with free space around it. Moves the arm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

import numpy as np

from hardware.arms.interface import Arm, ArmError, ArmFault, ArmFaultError, ArmIdentity, ArmState, LimitCheck
from hardware.plan import Command, JointCommand, Vector
from hardware.settings import ArmSettings
from station.testing.contract import Contract, closed_after, require_settings

LIFT = 0.02
"""m, straight up: how far the check moves the tool."""
TURN = 0.05
"""rad: how far it turns the first joint."""
_HZ = 100.0
_SECONDS = 1.0  # for each motion
_REACHED = 0.25  # of a motion may be missing
_HELD = 0.25  # of it counts as motion
_LONGEST = 5.0  # m
_TURNS = 2.0 * np.pi + 0.3  # rad


def check_arm(
    settings: ArmSettings,
    *,
    unreachable: Callable[[], AbstractContextManager[object]] | None = None,
    fault: Callable[[], object] | None = None,
    patience: float = 30.0,
) -> None:
    """Check the arm that `settings` build: connect, follow poses and joint angles, stop, recover, close.

    **The arm moves: up by 2 cm, back, and 0.05 rad about its first joint.** Keep its surroundings free and a hand on
    the emergency stop; an emulator is the better place. `unreachable`: a context in which the connected arm is not
    heard of. `fault`: provokes a fault that `recover` can clear. `patience`: s, for every event.

    Raises:
        AssertionError: it breaks its contract; says how, and where that is written.
    """
    arm = settings.build()
    check = _Check(arm, settings, patience)
    require_settings(check.contract, settings)
    check.before_connecting()
    with closed_after(arm):
        check.connecting()
        check.following_poses()
        check.following_joints()
        check.stopping()
        if fault is not None:
            check.faults(fault)
        if unreachable is not None:
            check.losing(unreachable)
        check.closing()


class _Check:
    """One arm under test."""

    def __init__(self, arm: Arm, settings: ArmSettings, patience: float) -> None:
        self.arm, self.settings, self.patience = arm, settings, patience
        self.contract = Contract(subject=type(arm).__name__, interface="hardware.arms.interface.Arm")

    def before_connecting(self) -> None:
        contract, arm = self.contract, self.arm
        contract.require(
            arm.name == self.settings.name, f"its name is '{arm.name}', not that of its settings"
        )
        contract.calm(arm.stop, "before connect", "stop")
        contract.calm(arm.close, "before connect", "close")
        contract.refuses(ArmError, arm.state, "before connect", "state")

    def connecting(self) -> None:
        contract, arm = self.contract, self.arm
        identity = arm.connect()
        contract.require(
            isinstance(identity, ArmIdentity) and identity.model, f"connect returns {identity}", "connect"
        )
        contract.require(
            identity.joints == self.settings.joints,
            f"connect reports {identity.joints} joints, its settings say {self.settings.joints}",
            "connect",
        )
        first = self.state()
        contract.eventually(
            lambda: self.state().time > first.time,
            self.patience,
            "its reports all have one time stamp",
            "state",
        )
        contract.require(
            np.abs(self.state().joints - first.joints).max() < _HELD * TURN, "connect moves it", "connect"
        )
        for limit in arm.limits():
            named = isinstance(limit, LimitCheck) and limit.name and limit.detail
            contract.require(named, f"limits returns {limit}, without name or detail", "limits")
            contract.require(
                limit.ok or limit.remedy, f"the limit '{limit.name}' is not ok, without remedy", "limits"
            )
        self._require_flange(first.joints)

    def _require_flange(self, joints: Vector) -> None:
        poses = self.settings.flange(joints[None])
        if poses is not None:
            unit = poses.shape == (1, 7) and abs(np.linalg.norm(poses[0, 3:]) - 1.0) < 1e-3
            text = "flange does not give poses [T, 7] of position and unit quaternion"
            self.contract.require(unit, text)

    def state(self) -> ArmState:
        """A healthy report, in the station's units."""
        contract, state = self.contract, self.arm.state()
        sizes = {"position": 3, "quaternion": 4, "joints": self.settings.joints}
        for name, size in sizes.items():
            value = np.asarray(getattr(state, name))
            contract.require(
                value.shape == (size,) and value.dtype == np.float64 and np.isfinite(value).all(),
                f"its {name} is {value.dtype} {list(value.shape)}: {value}; finite float64 [{size}] is wanted",
                "state",
            )
        contract.require(
            np.abs(state.position).max() < _LONGEST,
            f"its position is {state.position}; it is in metres",
            "state",
        )
        contract.require(
            abs(np.linalg.norm(state.quaternion) - 1.0) < 1e-3,
            f"its quaternion {state.quaternion} has no unit length",
            "state",
        )
        contract.require(
            np.abs(state.joints).max() < _TURNS,
            f"its joints are {state.joints}; they are in radians",
            "state",
        )
        contract.recent(state.time, "state")
        contract.require(state.fault is None, f"it is healthy and reports {state.fault}", "state")
        return state

    def following_poses(self) -> None:
        """Up, held, and down again."""
        self.arm.begin_servo()
        start = self.state()
        self._lift(start, LIFT)
        self._require_moved(start, LIFT, "servo")
        self._lift(start, 0.0, begin=LIFT)
        self._require_moved(start, 0.0, "servo")

    def _lift(self, start: ArmState, goal: float, *, begin: float = 0.0) -> None:
        previous = begin
        for share in _paced():
            height = begin + share * (goal - begin)
            self.arm.servo(_pose(start, height, (height - previous) * _HZ))
            previous = height

    def _require_moved(self, start: ArmState, height: float, method: str) -> None:
        def there() -> bool:
            self.arm.servo(_pose(start, height, 0.0))
            off = self.state().position - start.position - [0.0, 0.0, height]
            return bool(np.linalg.norm(off) < _REACHED * LIFT)

        text = f"it did not follow poses to {height:g} m above its start"
        self.contract.eventually(there, self.patience, text, method)

    def following_joints(self) -> None:
        """The first joint there and back, from following poses on."""
        arm, start = self.arm, self.state()
        arm.begin_servo_joints()
        for goal, begin in ((TURN, 0.0), (0.0, TURN)):
            for share in _paced():
                arm.servo_joints(_joints(start, begin + share * (goal - begin)))

            def there(goal: float = goal) -> bool:
                arm.servo_joints(_joints(start, goal))
                off = self.state().joints - _joints(start, goal).joints
                return bool(np.abs(off).max() < _REACHED * TURN)

            text = f"it did not follow joint angles to {goal:g} rad from its start"
            self.contract.eventually(there, self.patience, text, "servo_joints")

    def stopping(self) -> None:
        """After a stop, no command moves it until servo begins again."""
        contract, arm = self.contract, self.arm
        for when in ("while it follows", "twice"):
            contract.calm(arm.stop, when, "stop")
        start = self.state()
        with suppress(ArmError, AssertionError):  # refused; an assertion is a refusal too
            self._lift(start, LIFT)
        contract.require(
            np.linalg.norm(self.state().position - start.position) < _HELD * LIFT,
            "after stop it followed a command without begin_servo",
            "stop",
        )
        arm.begin_servo()
        begun = self.state()
        self._lift(begun, LIFT)
        self._require_moved(begun, LIFT, "begin_servo")
        self._lift(begun, 0.0, begin=LIFT)
        contract.calm(arm.stop, "while it follows", "stop")

    def faults(self, provoke: Callable[[], object]) -> None:
        """A fault is reported, refuses motion, and stays until `recover`."""
        contract, arm = self.contract, self.arm
        provoke()
        contract.eventually(
            lambda: arm.state().fault is not None,
            self.patience,
            "a fault never appears in its state",
            "state",
        )
        for _ in range(2):
            contract.refuses(ArmFaultError, arm.begin_servo, "in a fault", "begin_servo")
        fault = arm.state().fault
        contract.require(fault is not None, "a fault went away without recover", "recover")
        assert isinstance(fault, ArmFault)
        contract.require(
            fault.arm == arm.name and fault.code and fault.text and fault.remedy,
            f"its fault lacks the arm's name, the vendor's code or text, or a remedy: {fault}",
            "state",
        )
        contract.calm(arm.stop, "in a fault", "stop")
        arm.recover()
        contract.eventually(
            lambda: arm.state().fault is None, self.patience, "a fault stays after recover", "recover"
        )
        arm.begin_servo()
        contract.calm(arm.stop, "after recover", "stop")

    def losing(self, unreachable: Callable[[], AbstractContextManager[object]]) -> None:
        """A lost link is an error with the arm's name, and `recover` mends it."""
        contract, arm = self.contract, self.arm
        with unreachable():
            deadline = time.monotonic() + self.patience

            def ask() -> None:
                while time.monotonic() < deadline:
                    arm.state()
                    time.sleep(0.01)

            error = contract.refuses(ArmError, ask, "while the arm is not heard of", "state")
            contract.require(arm.name in str(error), f"state says '{error}', not which arm", "state")
            contract.calm(arm.stop, "while the arm is not heard of", "stop")
        arm.recover()
        self.state()

    def closing(self) -> None:
        contract, arm = self.contract, self.arm
        arm.begin_servo()
        contract.calm(arm.close, "while it follows", "close")
        contract.calm(arm.close, "twice", "close")
        contract.calm(arm.stop, "after close", "stop")
        error = contract.refuses(ArmError, arm.state, "after close", "state")
        contract.require(arm.name in str(error), f"state says '{error}', not which arm", "state")
        arm.connect()
        self.state()


def _paced() -> Iterator[float]:
    """Shares of a motion that rests at both ends, each when it is due, at a steady rate."""
    begun = time.monotonic()
    ticks = round(_SECONDS * _HZ)
    for tick in range(1, ticks + 1):
        time.sleep(max(0.0, begun + tick / _HZ - time.monotonic()))
        yield 0.5 - 0.5 * float(np.cos(np.pi * tick / ticks))


def _pose(start: ArmState, height: float, speed: float) -> Command:
    up = np.array([0.0, 0.0, 1.0])
    return Command(
        time=time.monotonic(),
        position=start.position + height * up,
        quaternion=start.quaternion,
        velocity=speed * up,
        angular_velocity=np.zeros(3),
        gripper=1.0,
    )


def _joints(start: ArmState, angle: float) -> JointCommand:
    joints = start.joints.copy()
    joints[0] += angle
    return JointCommand(time=time.monotonic(), joints=joints, rates=np.zeros_like(joints))
