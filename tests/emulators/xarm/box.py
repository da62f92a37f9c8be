"""The control box: modes, states, errors and settings of one arm, register by register.

It answers requests and moves the body; sockets, delays and broken links are the server's business. What real firmware
does beyond this (dynamics, self-collision, blending, teaching) is not imitated.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.emulators.xarm import body as motion
from tests.emulators.xarm import wire
from tests.emulators.xarm.body import Body
from tests.emulators.xarm.kinematics import Array
from tests.emulators.xarm.tool import BAUD_RATES, TOOLS
from tests.emulators.xarm.wire import Request

POSITION, SERVO, ONLINE_JOINTS = 0, 1, 6
MOVING, IDLE, PAUSED, STOPPED, MODE_CHANGED = 1, 2, 3, 4, 5

ESTOP, SPEED, KINEMATICS, JOINT_LIMIT, BOUNDARY, TOOL_BUS, LINEAR_SPEED = 1, 24, 21, 23, 35, 19, 60

LARGEST_STEP = 0.2
"""rad between two streamed targets, above which a joint would have to exceed its speed."""

LARGEST_TOOL_STEP = 0.05
"""m between two streamed postures, above which the tool would exceed the 1 m/s that the controller allows it."""

HOME = {6: (0.0, -0.5, -0.6, 0.0, 1.1, 0.0), 7: (0.0, -0.3, 0.0, 0.9, 0.0, 1.2, 0.0)}
"""Where the arm stands when it is switched on."""

Handler = Callable[[bytes], bytes | None]


@dataclass(kw_only=True)
class Limits:
    """What the SDK sets and reads back; mm and rad."""

    collision_sensitivity: int = 3
    rebound: int = 0
    self_collision: int = 0
    tool_model: int = 0
    boundary: list[int] = field(default_factory=lambda: [9999, -9999, 9999, -9999, 9999, -9999])
    fence: int = 0
    reduced: int = 0
    reduced_tcp_speed: float = 250.0
    reduced_joint_speed: float = 0.35
    joint_range: list[float] = field(default_factory=lambda: [-6.28, 6.28] * 7)
    tcp_offset: list[float] = field(default_factory=lambda: [0.0] * 6)
    load: list[float] = field(default_factory=lambda: [0.0] * 4)
    gravity: list[float] = field(default_factory=lambda: [0.0, 0.0, -1.0])


class ControlBox:
    """One arm with its controller."""

    def __init__(self, axes: int, tool: str = "robotiq", firmware: str = "v2.5.0") -> None:
        self.axes = axes
        self.version = f"{axes},{axes},XI1304A{axes:05d},AC1304B{axes:05d},{firmware}"
        self.body = Body(axes, np.array(HOME[axes]))
        self.limits = Limits()
        device = TOOLS[tool]
        self.tool = device() if device else None
        self.mode, self.state = POSITION, STOPPED
        self.error, self.warning = 0, 0
        self.enabled = False
        self.estop_pressed = False
        self.tool_plugged = True
        self.tool_delay: float | None = None
        """s that every exchange on the tool's bus takes, instead of the tool's own."""
        self.baud_index = BAUD_RATES.index(2_000_000)
        self.motion_commands = 0
        self.last_motion_command = 0.0
        self.came_to_rest = 0.0
        self.servo_times: deque[float] = deque(maxlen=100_000)
        self.trace: deque[tuple[float, ...]] = deque(maxlen=100_000)
        self._handlers = self._registers()

    # -- what happens to it ---------------------------------------------------------------------------------------

    def fail(self, code: int) -> None:
        """An error of the controller: motion ends, nothing moves until it is cleared."""
        self.error, self.state = code, STOPPED

    def press_estop(self) -> None:
        """The red button: motors lose power."""
        self.estop_pressed, self.enabled = True, False
        self.fail(ESTOP)

    def release_estop(self) -> None:
        """The button is turned back; the error stays until it is cleared."""
        self.estop_pressed = False

    def mend(self) -> None:
        """Nothing outside is broken any more; errors stay until they are cleared."""
        self.estop_pressed, self.tool_plugged, self.tool_delay = False, True, None

    def reset(self) -> None:
        """As it stands after a good start: at home, enabled, without error; settings stay."""
        self.mend()
        self.enabled = True
        self.error, self.warning, self.state, self.mode = 0, 0, IDLE, POSITION
        self.body.rest_at(np.array(HOME[self.axes]))

    def tick(self, now: float, dt: float) -> None:
        """Move for `dt` s until `now` (monotonic)."""
        was_turning = self.body.turning
        if self.ready:
            self.body.tick(dt)
        else:
            self.body.brake(dt)
        if was_turning and not self.body.turning:
            self.came_to_rest = now
        if was_turning or self.body.turning:
            self.trace.append((now, *self.body.tool_pose()[:3, 3]))

    @property
    def ready(self) -> bool:
        """Whether it would follow a motion command."""
        return self.enabled and not self.error and self.state < PAUSED

    @property
    def reported_state(self) -> int:
        if self.ready:
            return MOVING if self.body.moving else IDLE
        return self.state

    # -- requests -------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> bytes:
        """The reply to any register but the tool's bus."""
        handler = self._handlers.get(request.register)
        answer = handler(request.payload) if handler else None
        if answer is None:
            return request.reply(self.status() | wire.STATUS_INVALID)
        return request.reply(self.status(), answer)

    def status(self) -> int:
        """The byte that every reply carries."""
        return (
            (wire.STATUS_ERROR if self.error else 0)
            | (wire.STATUS_WARNING if self.warning else 0)
            | (0 if self.ready else wire.STATUS_NOT_READY)
        )

    def bus(self, payload: bytes) -> bytes:
        """One exchange on the tool's bus: host number and frame; no answer is an error of the controller."""
        device = self.tool
        tuned = device is not None and BAUD_RATES[self.baud_index] == device.baud_rate
        answer = device.answer(payload[1:]) if device and tuned and self.tool_plugged else None
        if answer is None:
            self.fail(TOOL_BUS)
            return payload[:1]
        return payload[:1] + answer

    @property
    def bus_delay(self) -> float:
        """s an exchange on the tool's bus takes; what does not answer is waited for."""
        if self.tool_delay is not None:
            return self.tool_delay
        alive = self.tool is not None and self.tool_plugged
        return self.tool.turnaround if alive and self.tool else 0.03

    def _registers(self) -> dict[int, Handler]:
        quiet = dict.fromkeys((10, 18, 31, 32, 33, 34, 38, 39, 40, 66, 70, 80, 123, 240, 253, 254), _accept)
        text = self.version.encode().ljust(40, b"\0")
        serials = "\0".join(self.version.split(",")[2:4]).encode().ljust(40, b"\0")
        return quiet | {
            1: lambda _: text,
            2: lambda _: serials,
            11: self._enable,
            12: self._set_state,
            13: lambda _: bytes([self.reported_state]),
            14: lambda _: b"\0\0",
            15: lambda _: bytes([self.error, self.warning]),
            16: self._clean_error,
            17: self._clean_warning,
            19: self._set_mode,
            21: lambda payload: self._move_pose(motion.from_rpy(_metres(wire.floats(payload, 6)))),
            23: self._move_joints,
            29: self._servo_joints,
            30: lambda payload: self._servo(motion.from_rpy(_metres(wire.floats(payload, 6)))),
            93: lambda payload: self._servo(motion.from_axis_angle(_metres(wire.floats(payload, 6)))),
            35: self._set_tcp_offset,
            36: self._set_load,
            37: lambda payload: self._set("collision_sensitivity", payload[0]),
            41: lambda _: wire.pack_floats(self.pose_mm()),
            91: lambda _: wire.pack_floats(self.axis_angle_mm()),
            42: self._joint_states,
            43: self._inverse,
            44: self._forward,
            45: lambda _: b"\0",
            46: lambda _: b"\0",
            47: lambda payload: self._set("reduced_tcp_speed", wire.floats(payload, 1)[0]),
            48: lambda payload: self._set("reduced_joint_speed", wire.floats(payload, 1)[0]),
            49: lambda _: bytes([self.limits.reduced]),
            50: lambda payload: self._set("reduced", payload[0]),
            51: lambda payload: self._set("gravity", list(wire.floats(payload, 3))),
            52: lambda payload: self._set("boundary", list(struct.unpack("<6i", payload))),
            53: self._reduced_states,
            58: lambda payload: self._set("joint_range", list(wire.floats(payload, 14))),
            59: lambda payload: self._set("fence", payload[0]),
            60: lambda payload: self._set("rebound", payload[0]),
            77: lambda payload: self._set("self_collision", payload[0]),
            78: lambda payload: self._set("tool_model", payload[0]),
            127: self._write_tool_board,
            128: self._read_tool_board,
        }

    # -- modes and states -----------------------------------------------------------------------------------------

    def _enable(self, payload: bytes) -> bytes:
        self.enabled = bool(payload[1]) and not self.estop_pressed and not self.error
        return b""

    def _set_state(self, payload: bytes) -> bytes:
        wanted = payload[0]
        if wanted == 0 and not self.error and self.enabled:
            self.body.target = self.body.joints.copy() if self.state >= STOPPED else self.body.target
            self.state = IDLE
        elif wanted in (3, 4, 6):
            self.state = PAUSED if wanted == 3 else STOPPED
        return b""

    def _set_mode(self, payload: bytes) -> bytes:
        self.mode = payload[0]
        if self.state < STOPPED:
            self.state = MODE_CHANGED
        return b""

    def _clean_error(self, _: bytes) -> bytes:
        self.error = ESTOP if self.estop_pressed else 0
        return b""

    def _clean_warning(self, _: bytes) -> bytes:
        self.warning = 0
        return b""

    # -- motion ---------------------------------------------------------------------------------------------------

    def _servo(self, pose: Array) -> bytes:
        now = time.monotonic()
        self.servo_times.append(now)
        if not self.ready or self.mode != SERVO:
            return b""
        if self._outside(pose):
            self.fail(BOUNDARY)
            return b""
        joints, left = self.body.solve(pose, iterations=10)
        self._follow(joints, now, left)
        return b""

    def _servo_joints(self, payload: bytes) -> bytes:
        now = time.monotonic()
        self.servo_times.append(now)
        if not self.ready or self.mode != SERVO:
            return b""
        joints = np.array(wire.floats(payload, self.axes))
        tool, before = (self.body.chain.forward(each) @ self.body.tool for each in (joints, self.body.target))
        if self._outside(tool):
            self.fail(BOUNDARY)
        elif np.linalg.norm(tool[:3, 3] - before[:3, 3]) > LARGEST_TOOL_STEP:
            self.fail(LINEAR_SPEED)
        else:
            self._follow(joints, now, 0.0)
        return b""

    def _follow(self, joints: Array, now: float, left: float) -> None:
        if np.abs(joints - self.body.target).max() > LARGEST_STEP:
            self.fail(SPEED)
        elif left > 1e-3:
            self.fail(KINEMATICS)
        elif not self._within(joints):
            self.fail(JOINT_LIMIT)
        else:
            self.body.go(joints)
            self.motion_commands += 1
            self.last_motion_command = now

    def _move_joints(self, payload: bytes) -> bytes:
        values = wire.floats(payload, 9)
        joints = np.array(values[: self.axes])
        if not self.ready or self.mode not in (POSITION, ONLINE_JOINTS):
            return b""
        if not self._within(joints):
            self.fail(JOINT_LIMIT)
            return b""
        self.body.go(joints, speed=values[7], acceleration=values[8])
        self.motion_commands += 1
        self.last_motion_command = time.monotonic()
        return b""

    def _move_pose(self, pose: Array) -> bytes:
        if self.ready and self.mode == POSITION:
            joints, left = self.body.solve(pose, iterations=60)
            if left > 1e-3:
                self.fail(KINEMATICS)
            else:
                self.body.go(joints, speed=0.5, acceleration=4.0)
        return b""

    def _within(self, joints: Array) -> bool:
        low, high = self.body.chain.limits.T
        return bool((joints >= low - 1e-3).all() and (joints <= high + 1e-3).all())

    def _outside(self, pose: Array) -> bool:
        if not (self.limits.fence or self.limits.reduced):
            return False
        x, y, z = pose[:3, 3] * 1000
        high_x, low_x, high_y, low_y, high_z, low_z = self.limits.boundary
        return not (low_x <= x <= high_x and low_y <= y <= high_y and low_z <= z <= high_z)

    # -- poses ----------------------------------------------------------------------------------------------------

    def pose_mm(self) -> Array:
        """x y z mm, roll pitch yaw rad, of the tool centre point."""
        return _millimetres(motion.to_rpy(self.body.tool_pose()))

    def axis_angle_mm(self) -> Array:
        """The same with a rotation vector."""
        return _millimetres(motion.to_axis_angle(self.body.tool_pose()))

    def _joint_states(self, payload: bytes) -> bytes:
        kinds = payload[0] & 0x0F if payload else 1
        parts = [self.body.joints, self.body.speed, np.zeros(self.axes)][:kinds]
        return b"".join(wire.pack_floats(wire.padded(part)) for part in parts)

    def _inverse(self, payload: bytes) -> bytes | None:
        joints, left = self.body.solve(motion.from_rpy(_metres(wire.floats(payload, 6))), iterations=100)
        return wire.pack_floats(wire.padded(joints)) if left < 1e-3 else None

    def _forward(self, payload: bytes) -> bytes:
        flange = self.body.chain.forward(np.array(wire.floats(payload, self.axes)))
        return wire.pack_floats(_millimetres(motion.to_rpy(flange @ self.body.tool)))

    # -- settings -------------------------------------------------------------------------------------------------

    def _set(self, name: str, value: object) -> bytes:
        setattr(self.limits, name, value)
        return b""

    def _set_tcp_offset(self, payload: bytes) -> bytes:
        values = wire.floats(payload, 6)
        self.limits.tcp_offset = list(values)
        self.body.tool = motion.from_rpy(_metres(values))
        return b""

    def _set_load(self, payload: bytes) -> bytes:
        if self.ready:
            self.limits.load = list(wire.floats(payload, 4))
        return b""

    def _reduced_states(self, _: bytes) -> bytes:
        limits = self.limits
        return (
            bytes([limits.reduced])
            + struct.pack(">6h", *limits.boundary)
            + wire.pack_floats([limits.reduced_tcp_speed, limits.reduced_joint_speed, *limits.joint_range])
            + bytes([limits.fence, limits.rebound])
        )

    def _read_tool_board(self, payload: bytes) -> bytes:
        address = struct.unpack_from(">H", payload, 1)[0]
        return struct.pack(">i", self.baud_index if address == 0x0A0B else 0)

    def _write_tool_board(self, payload: bytes) -> bytes:
        address = struct.unpack_from(">H", payload, 1)[0]
        if address == 0x1A0B:
            self.baud_index = int(wire.floats(payload, 1, offset=3)[0])
        return b""


def _accept(_: bytes) -> bytes:
    return b""


def _metres(values: tuple[float, ...]) -> Array:
    return np.array([*(value / 1000 for value in values[:3]), *values[3:]])


def _millimetres(values: Array) -> Array:
    return np.array([*(values[:3] * 1000), *values[3:]])
