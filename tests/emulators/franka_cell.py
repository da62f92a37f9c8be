"""The robots inside the Franka emulator: franky-sim's servers, with the control box's refusals and faults added.

What a reflex, a pressed stop button or another server version looks like on the wire was read from libfranka's
messages; franky-sim itself always answers that all is well. Needs franky-sim (with mujoco and pinocchio).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import franky_sim
import numpy as np
from franky_sim.franka_gripper_protocol import GripperCommandStatus
from franky_sim.franka_gripper_server import FrankaGripperServer
from franky_sim.franka_robot_protocol import (
    AutomaticErrorRecoveryCommand,
    AutomaticErrorRecoveryStatus,
    MoveCommand,
    MoveStatus,
    RobotCommand,
    RobotMode,
)
from franky_sim.franka_server import BaseCommand, Command, ConnectCommand, ConnectStatus, MessageHeader
from franky_sim.mujoco_simulator import MujocoSimulator

from tests.emulators.franka import READY, SPACING

ERRORS = {
    "joint_position_limits_violation": 0,
    "joint_velocity_violation": 3,
    "joint_reflex": 6,
    "cartesian_reflex": 7,
    "communication_constraints_violation": 25,
    "power_limit_violation": 26,
}
"""Place of an error among the 41 flags of a robot state."""

_STANDING = 0.02
"""rad/s; slower is at rest."""
_LOOK_EVERY = 20
"""ms between two looks whether it is: a look costs some of the millisecond that there is."""
_OVERDUE = 20
"""ms without commands after which the arm is braked, as a control box does."""
_UNANSWERED = 1000
"""ms after which a motion without commands is ended. A control box does so when it brakes; a busy machine is late more
often than that, so the arm only stands until the next command."""

_KP = (4500.0, 4500.0, 3500.0, 3500.0, 800.0, 800.0, 200.0)
_KV = (450.0, 450.0, 350.0, 350.0, 60.0, 60.0, 15.0)
"""Holding gains; franky-sim's own let the wrist chatter from one end of its torque to the other."""


class Connect(ConnectCommand):
    """Refuses the client when the robot pretends to be of another version."""

    def handle(self, server: RobotServer, command_type_struct: str = "I") -> None:
        if server.version is None:
            super().handle(server, command_type_struct=command_type_struct)
            return
        header = MessageHeader(Command.kConnect, self.command_id, 8)
        status = struct.pack("<BH5x", ConnectStatus.kIncompatibleLibraryVersion.value, server.version)
        self.client_socket.sendall(header.to_bytes(command_type_struct=command_type_struct) + status)


class Move(MoveCommand):
    """Refused while the robot is not ready."""

    def handle(self, server: RobotServer) -> None:
        if server.mode is None:
            super().handle(server)
        else:
            self.reply(MoveStatus.kCommandNotPossibleRejected)


class Recover(AutomaticErrorRecoveryCommand):
    """Clears a reflex; impossible while the stop button is pressed."""

    def handle(self, server: RobotServer) -> None:
        if server.mode is RobotMode.kUserStopped:
            self.reply(AutomaticErrorRecoveryStatus.kEmergencyAborted)
            return
        if server.stubborn:
            self.reply(AutomaticErrorRecoveryStatus.kManualErrorRecoveryRequiredRejected)
            return
        server.mode, server.errors = None, ()
        self.reply(AutomaticErrorRecoveryStatus.kSuccess)


class Hand(FrankaGripperServer):
    """A hand between whose fingers there may be something, and that answers a command that is overtaken."""

    thickness = 0.0
    silent = False
    _pending_command_id: int | None

    def start_move(self, width: float, speed: float, command_id: int, tcp_socket: Any) -> None:
        self._answer_overtaken()
        super().start_move(max(width, self.thickness), speed, command_id, tcp_socket)

    def start_grasp(
        self,
        width: float,
        speed: float,
        force: float,
        epsilon_inner: float,
        epsilon_outer: float,
        command_id: int,
        tcp_socket: Any,
    ) -> None:
        self._answer_overtaken()
        super().start_grasp(
            max(width, self.thickness), speed, force, epsilon_inner, epsilon_outer, command_id, tcp_socket
        )
        self._goal_width = width

    def stop(self, command_id: int, tcp_socket: Any) -> None:
        self._answer_overtaken()
        super().stop(command_id, tcp_socket)

    def process_commands(self) -> None:
        if not self.silent:
            super().process_commands()

    def send_state(self) -> None:
        if not self.silent:
            super().send_state()

    def _answer_overtaken(self) -> None:
        if self._pending_command_id is not None and self._pending_tcp_socket is not None:
            BaseCommand.send_response(
                self._pending_tcp_socket,
                self._pending_command_type,
                self._pending_command_id,
                GripperCommandStatus.kAborted,
                command_type_struct="H",
                status_type_struct="H",
            )
        self._pending_command_id = None


class RobotServer(franky_sim.FrankaRobotServer):
    """One control box."""

    def __init__(self, robot: Any, candidates: Sequence[str]) -> None:
        self.mode: RobotMode | None = None
        self.errors: tuple[int, ...] = ()
        self.stubborn = False
        self.silent = False
        self.watchful = True
        self.version: int | None = None
        self.rested = 0.0
        self._unanswered = 0
        self._braked_at: np.ndarray | None = None
        super().__init__(robot, candidates)
        commands = self._FrankaServer__command_class_map
        commands[Command.kConnect] = Connect
        commands[RobotCommand.kMove] = Move
        commands[RobotCommand.kAutomaticErrorRecovery] = Recover

    def _bind_children(self, hostname: str) -> None:
        hand = Hand(self.robot, hostname)
        hand.init()
        self._FrankaRobotServer__gripper_server = hand

    @property
    def robot_state(self) -> Any:
        flags = tuple(place in self.errors for place in range(41))
        state = super().robot_state
        if self.mode is None:
            return state
        return state.replace(robot_mode=self.mode, errors=flags, reflex_reason=flags)

    def send_state(self) -> None:
        if not self.silent:
            super().send_state()

    def _handle_udp_command(self, command_data: bytes) -> None:
        self._unanswered = 0
        super()._handle_udp_command(command_data)

    def _post_process_commands(self) -> None:
        if self._unanswered < _OVERDUE or not self.watchful:
            self._braked_at = None
            super()._post_process_commands()
            return
        if self._braked_at is None:
            self._braked_at = np.array(self.robot.inner_state.q)
        self.robot.joint_position_control(self._braked_at)

    def watch(self, ticks: int) -> None:
        """One millisecond of what a control box sees to by itself: commands that cease end the motion."""
        if ticks % _LOOK_EVERY == 0:
            resting = np.max(np.abs(self.robot.inner_state.dq)) < _STANDING
            self.rested = self.rested + _LOOK_EVERY / 1000.0 if resting else 0.0
        self._unanswered = self._unanswered + 1 if self.current_motion_id else 0
        if self.watchful and self._unanswered > _UNANSWERED:
            self.abort(RobotMode.kReflex, MoveStatus.kReflexAborted, ["communication_constraints_violation"])

    def abort(self, mode: RobotMode, status: MoveStatus, errors: Sequence[str] = ()) -> None:
        """End the motion with `status`; the robot stays in `mode` until it is recovered or released."""
        self.mode = mode
        self.errors = tuple(ERRORS[name] for name in errors)
        motion = self.current_motion_id
        self.stop_motion(send_preemption_signal=False)
        self.reset_current_motion_id()
        if motion and not self.silent:
            super().send_state()
            BaseCommand.send_response(self._tcp_socket, RobotCommand.kMove, motion, status)


class FrankaCell:
    """Robots in one room."""

    def __init__(self, robots: int, addresses: Sequence[str] = ()) -> None:
        self._sim = MujocoSimulator()
        self._sim.__enter__()
        self._robots = [
            self._sim.add_robot(initial_q=READY, position=(0.0, SPACING * index, 0.0), kp=_KP, kv=_KV)
            for index in range(robots)
        ]
        self._servers = [
            RobotServer(robot, addresses[index : index + 1] or _free_addresses())
            for index, robot in enumerate(self._robots)
        ]
        self._ticks = 0

    def __enter__(self) -> Self:
        for server in self._servers:
            server.init()
        self._sim.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.cleanup()
        self._sim.__exit__(kind, error, trace)

    @property
    def addresses(self) -> list[str]:
        """Where the robots answer."""
        return [str(server.hostname) for server in self._servers]

    def tick(self) -> None:
        """One millisecond."""
        for server in self._servers:
            server.process_commands()
        self._sim.step()
        for server in self._servers:
            server.watch(self._ticks)
            server.send_state()
        self._ticks += 1

    def obey(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one order and say what there is to say."""
        server = self._servers[order["robot"]]
        orders: dict[str, Callable[[], dict[str, Any]]] = {
            "truth": lambda: self._truth(server),
            "reflex": lambda: self._reflex(server, order),
            "press_stop": lambda: _done(server.abort(RobotMode.kUserStopped, MoveStatus.kEmergencyAborted)),
            "release_stop": lambda: _set(server, mode=None),
            "guide": lambda: _done(server.abort(RobotMode.kGuiding, MoveStatus.kAborted)),
            "let_go": lambda: _set(server, mode=None),
            "watch": lambda: _set(server, watchful=order.get("on", True)),
            "silence": lambda: _set(server, silent=order.get("on", True)),
            "pretend_version": lambda: _set(server, version=order["version"]),
            "object": lambda: _set(server.gripper_server, thickness=order["width"]),
            "silence_hand": lambda: _set(server.gripper_server, silent=order.get("on", True)),
        }
        return orders[order["command"]]()

    def _reflex(self, server: RobotServer, order: Mapping[str, Any]) -> dict[str, Any]:
        server.stubborn = order.get("stubborn", False)
        server.abort(RobotMode.kReflex, MoveStatus.kReflexAborted, order.get("errors", ["cartesian_reflex"]))
        return {}

    def _truth(self, server: RobotServer) -> dict[str, Any]:
        state = server.robot_state
        return {
            "time": self._ticks / 1000.0,
            "rested": server.rested,
            "position": list(np.asarray(state.O_T_EE)[12:15]),
            "joints": list(state.q),
            "speeds": list(state.dq),
            "torques": list(state.tau_J_d),
            "width": server.robot.hand_width,
            "mode": RobotMode(state.robot_mode).name,
        }


def _free_addresses() -> list[str]:
    """Loopback addresses that another emulator of this machine hardly uses."""
    return [f"127.{13 + os.getpid() % 200}.{os.getpid() // 200 % 250}.{last}" for last in range(1, 250)]


def _set(thing: Any, **attributes: Any) -> dict[str, Any]:
    for name, value in attributes.items():
        setattr(thing, name, value)
    return {}


def _done(_: None) -> dict[str, Any]:
    return {}
