"""A loop that makes plans, in a process of its own that a test may kill or suspend: ``python -m ... FOLDER``.

Says "moving" on its output when the arm is under way, and then what becomes of it, one line each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hardware.cell import CellError
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from tests.hardware.fakes import HOME, cell_table, read_cell

HEARTBEAT = 1.0
"""s; longer than a busy machine leaves this loop waiting."""


def main() -> None:
    """Go back and forth for ever."""
    folder = Path(sys.argv[1])
    table = cell_table(folder / "board")
    table["safety"] |= {"heartbeat": HEARTBEAT, "frame_age": 1.0}
    cell = RobotCell(read_cell(table), StopLatch(folder / "stop.latch"))
    cell.connect()
    try:
        steps = 0
        while True:
            way = np.linspace(0.0, 2.0 * np.pi, 41)[1:]
            rows = [[HOME[0] + 0.08 * np.sin(angle), HOME[1], HOME[2], 0, 0, 0, 1] for angle in way]
            cell.plan(np.array(rows, np.float32))
            while cell.advance() is not None:
                steps += 1
                if steps == 6:
                    pids = [process.pid for process in cell.arm_group.processes.values()]
                    sys.stdout.write(f"moving {pids[0]}\n")
                    sys.stdout.flush()
    except CellError as error:
        sys.stdout.write(f"{error}\n")
        sys.stdout.flush()
    finally:
        cell.close()


if __name__ == "__main__":
    main()
