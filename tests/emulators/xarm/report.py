"""What the report ports send: the real-time report without errors, the normal one, the rich one with all settings."""

from __future__ import annotations

import struct

import numpy as np

from tests.emulators.xarm import wire
from tests.emulators.xarm.box import ControlBox

_REAL_LENGTH = 135
_NORMAL_LENGTH = 145
_RICH_LENGTH = 587


def report(box: ControlBox, port: int) -> bytes:
    """One report of the kind that `port` sends."""
    pose = [float(value) for value in box.pose_mm()]
    head = struct.pack(">BH", box.reported_state | box.mode << 4, 0)
    motion = wire.pack_floats([*wire.padded(box.body.joints), *pose, *[0.0] * 7])
    if port == wire.REPORT_REAL:
        return _framed(head + motion + bytes(48), _REAL_LENGTH)
    normal = head + motion + _condition(box)
    return _framed(normal + (_settings(box) if port == wire.REPORT_RICH else b""), _length(port))


def _length(port: int) -> int:
    return _RICH_LENGTH if port == wire.REPORT_RICH else _NORMAL_LENGTH


def _framed(content: bytes, length: int) -> bytes:
    if len(content) != length - 4:
        raise ValueError(f"a report of {len(content) + 4} bytes where {length} are due")
    return struct.pack(">I", length) + content


def _condition(box: ControlBox) -> bytes:
    motors = (1 << box.axes) - 1 if box.enabled else 0
    limits = box.limits
    return (
        bytes([motors, motors, box.error, box.warning])
        + wire.pack_floats([*limits.tcp_offset, *limits.load])
        + bytes([limits.collision_sensitivity, 3])
        + wire.pack_floats(limits.gravity)
    )


def _settings(box: ControlBox) -> bytes:
    limits = box.limits
    speed = wire.padded(box.body.speed)
    content = bytearray(_RICH_LENGTH - _NORMAL_LENGTH)

    def put(offset: int, part: bytes) -> None:
        start = offset - _NORMAL_LENGTH
        content[start : start + len(part)] = part

    put(145, bytes([box.axes, box.axes, 0xAA, 0x55, 1, 7]))
    put(151, box.version.rsplit(",", 1)[1].encode())
    put(181, wire.pack_floats([1000, 1, 50000, 0.1, 1000, 20, 0.01, 20, 0.0001, 3.14, 2.3, 2.7]))
    put(245, bytes([40] * 7))
    put(252, wire.pack_floats([0.0, *speed]))
    put(315, bytes([limits.self_collision, limits.tool_model]))
    put(341, struct.pack(">7H", *[4800] * 7))
    put(482, wire.pack_floats(float(value) for value in np.asarray(box.axis_angle_mm())[3:]))
    put(494, bytes([limits.reduced | limits.fence << 1, limits.reduced]))
    put(496, struct.pack(">6h", *limits.boundary))
    put(508, wire.pack_floats([limits.reduced_tcp_speed, limits.reduced_joint_speed, *limits.joint_range]))
    put(572, bytes([limits.fence, limits.rebound]))
    return bytes(content)
