"""The sockets of one emulated arm, and the faults of its link.

Everything runs in one event loop: the control port, the three report ports, the clock of the arm, and a line of JSON
in, a line of JSON out for whoever injects faults or asks for the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.emulators.xarm import wire
from tests.emulators.xarm.box import ControlBox
from tests.emulators.xarm.report import report
from tests.emulators.xarm.tool import Robotiq

CONTROL_PORT = 502
UNPRIVILEGED_CONTROL_PORT = 10502
_RS485 = 124
_SERVO = (29, 30, 93)
_FEEDBACK_CHECK = 253
_MOTION_FINISHED = 2


class Server:
    """One arm at one address."""

    def __init__(self, box: ControlBox, address: str, control_port: int, tick_hz: int = 200) -> None:
        self.box = box
        self.address = address
        self.control_port = control_port
        self._period = 1.0 / tick_hz
        self._silent = False
        self._delay, self._delayed_replies = 0.0, 0
        self._listeners: list[asyncio.Server] = []
        self._connections: set[asyncio.StreamWriter] = set()
        self._bus = asyncio.Lock()
        self._on_bus, self._servo_beside_bus = False, 0
        self._orders = self._known_orders()

    async def run(self, lines: asyncio.StreamReader | None) -> None:
        """Serve until `lines` end; for ever without them."""
        await self._plug()
        _say({"address": self.address, "control_port": self.control_port})
        clock = asyncio.create_task(self._keep_moving())
        try:
            await (self._obey(lines) if lines else asyncio.Event().wait())
        finally:
            clock.cancel()
            await self._unplug()

    # -- sockets --------------------------------------------------------------------------------------------------

    async def _plug(self) -> None:
        if self._listeners:
            return
        self._listeners.append(await asyncio.start_server(self._control, self.address, self.control_port))
        for port in wire.REPORT_PERIOD:
            served = self._reporter(port)
            self._listeners.append(await asyncio.start_server(served, self.address, port))

    async def _unplug(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self._connections):
            connection.close()

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        buffer = bytearray()
        with contextlib.suppress(ConnectionError):
            while content := await reader.read(4096):
                buffer += content
                for request in wire.requests(buffer):
                    await self._serve(request, writer)
        self._connections.discard(writer)
        writer.close()

    async def _serve(self, request: wire.Request, writer: asyncio.StreamWriter) -> None:
        if request.register == _RS485:
            async with self._bus:
                self._on_bus = True
                await asyncio.sleep(self.box.bus_delay)
                content = self.box.bus(request.payload)
                self._on_bus = False
            answer = request.reply(self.box.status(), content)
        else:
            answer = self.box.handle(request)
            self._servo_beside_bus += self._on_bus and request.register in _SERVO
        if self._delayed_replies:
            self._delayed_replies -= 1
            await asyncio.sleep(self._delay)
        if not self._silent:
            writer.write(answer)
            if request.register == _FEEDBACK_CHECK:
                writer.write(request.feedback(_MOTION_FINISHED))

    def _reporter(self, port: int) -> Callable[..., Any]:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections.add(writer)
            due = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while not writer.is_closing():
                    if not self._silent:
                        writer.write(report(self.box, port))
                        await writer.drain()
                    due = max(due + wire.REPORT_PERIOD[port], time.monotonic())
                    await asyncio.sleep(due - time.monotonic())
            self._connections.discard(writer)

        return serve

    async def _keep_moving(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(self._period)
            now = time.monotonic()
            # A clock that was held up moves on in steps the joints can follow, not in one leap.
            while last < now:
                step = min(now - last, 2 * self._period)
                last += step
                self.box.tick(last, step)

    # -- faults and questions -------------------------------------------------------------------------------------

    async def _obey(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            order = json.loads(line)
            name = order.pop("order")
            answer = self._orders[name](**order)
            if asyncio.iscoroutine(answer):
                answer = await answer
            _say({"answer": answer})

    def _known_orders(self) -> dict[str, Callable[..., Any]]:
        return {
            "fail": self.box.fail,
            "warn": lambda code: setattr(self.box, "warning", code),
            "press_estop": self.box.press_estop,
            "release_estop": self.box.release_estop,
            "state": lambda state: setattr(self.box, "state", state),
            "silence": lambda on: setattr(self, "_silent", on),
            "delay": self._delay_replies,
            "unplug": self._unplug,
            "plug": self._plug,
            "unplug_tool": lambda: setattr(self.box, "tool_plugged", False),
            "plug_tool": lambda: setattr(self.box, "tool_plugged", True),
            "slow_tool": lambda seconds: setattr(self.box, "tool_delay", seconds),
            "obstacle": self._put_obstacle,
            "tool_fault": lambda code: setattr(self.box.tool, "fault", code),
            "tool_register": self._set_tool_register,
            "slip": lambda speed: setattr(self.box.body, "slip", speed),
            "truth": self._truth,
            "servo_times": lambda: list(self.box.servo_times),
            "trace": lambda: [list(point) for point in self.box.trace],
            "forget": self._forget,
            "reset": self._reset,
            "mend": self._mend,
        }

    def _delay_replies(self, seconds: float, count: int) -> None:
        self._delay, self._delayed_replies = seconds, count

    def _put_obstacle(self, position: float | None) -> None:
        if self.box.tool is not None:
            self.box.tool.fingers.obstacle = position

    def _set_tool_register(self, address: int, value: int) -> None:
        if self.box.tool is not None:
            self.box.tool.write(address, [value])

    def _forget(self) -> None:
        self.box.servo_times.clear()
        self.box.trace.clear()

    async def _reset(self) -> None:
        self.box.reset()
        await self._mend()

    async def _mend(self) -> None:
        self._silent, self._delayed_replies, self._servo_beside_bus = False, 0, 0
        self.box.mend()
        self._forget()
        await self._plug()

    def _truth(self) -> dict[str, Any]:
        """How the arm really is, whatever its reports say; times are of the machine's monotonic clock."""
        box = self.box
        return {
            "time": time.monotonic(),
            "joints": box.body.joints.tolist(),
            "joint_speed": box.body.speed.tolist(),
            "pose_mm": [float(value) for value in box.pose_mm()],
            "axis_angle_mm": [float(value) for value in box.axis_angle_mm()],
            "turning": box.body.turning,
            "came_to_rest": box.came_to_rest,
            "last_motion_command": box.last_motion_command,
            "servo_beside_bus": self._servo_beside_bus,
            "motion_commands": box.motion_commands,
            "mode": box.mode,
            "state": box.reported_state,
            "error": box.error,
            "enabled": box.enabled,
            "limits": vars(box.limits),
            "activations": box.tool.activations if isinstance(box.tool, Robotiq) else 0,
            "fingers": box.tool.fingers.position if box.tool else None,
            "tool": "robotiq" if isinstance(box.tool, Robotiq) else "other",
        }


def _say(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()
