"""``python -m tests.emulators.xarm --address 127.0.0.2``: one emulated arm, until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys

from tests.emulators.xarm.box import ControlBox
from tests.emulators.xarm.server import CONTROL_PORT, Server
from tests.emulators.xarm.tool import TOOLS


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 20)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


async def _serve(options: argparse.Namespace) -> None:
    box = ControlBox(options.axes, options.tool, options.firmware)
    lines = await _lines() if options.orders else None
    await Server(box, options.address, options.port).run(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.xarm", description=__doc__)
    parser.add_argument("--address", default="127.0.0.2", help="where it listens, any loopback address")
    parser.add_argument(
        "--port", type=int, default=CONTROL_PORT, help="control port; the vendor's needs root"
    )
    parser.add_argument("--axes", type=int, choices=(6, 7), default=6)
    parser.add_argument("--tool", choices=tuple(TOOLS), default="robotiq")
    parser.add_argument("--firmware", default="v2.5.0")
    parser.add_argument(
        "--orders", action="store_true", help="obey lines of JSON on standard input; end with it"
    )
    return parser.parse_args()


def _hurry() -> None:
    """A control box has a processor of its own; on a busy machine this comes closest, where it is allowed."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)


if __name__ == "__main__":
    _hurry()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_options()))
