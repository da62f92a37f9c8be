"""Lets an engine write what it is doing into a small file at every event, so that a kill can be aimed at it.

The station has no such switch: the engine of a benchmark is changed from outside. A folder with `site` as its
``sitecustomize.py`` on PYTHONPATH does it to the engines that are started below it.
"""

from __future__ import annotations

from pathlib import Path

from station.session.engine.engine import Engine
from tests.benchmarks.forking import ENGINE

_SIZE = 32
STARTING, LEAVING, COMMIT = "starting", "leaving", "commit"


class Board:
    """The file."""

    def __init__(self, path: Path) -> None:
        """Made where it is missing."""
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)

    def write(self, text: str) -> None:
        """At once, for every process."""
        self._file.seek(0)
        self._file.write(text.encode().ljust(_SIZE))

    def read(self) -> str:
        """What was written last."""
        self._file.seek(0)
        return (self._file.read(_SIZE) or b"").decode().strip()


def show(path: Path) -> None:
    """Let the engines of this process write what they do to the board at `path`."""
    dispatch, turn, board = Engine.dispatch, Engine.turn, Board(path)

    def doing(engine: Engine) -> str:
        if engine.state.leaving:
            return LEAVING
        return COMMIT if engine._writer.busy else engine.state.phase.value

    def dispatched(engine: Engine, event: object) -> None:
        dispatch(engine, event)  # type: ignore[arg-type]
        board.write(doing(engine))

    def turned(engine: Engine) -> None:
        turn(engine)
        board.write(doing(engine))

    setattr(Engine, "dispatch", dispatched)  # noqa: B010 - methods that mypy will not have assigned
    setattr(Engine, "turn", turned)  # noqa: B010


def site(slow: float, board: Path) -> str:
    """A ``sitecustomize.py``: engines whose commits take `slow` s in the mean, and that use this board."""
    return f"""import sys
if "{ENGINE}" in sys.orig_argv:
    from pathlib import Path
    from tests.benchmarks.phase_board import show
    from tests.benchmarks.slow_store import slow_down
    slow_down({slow})
    show(Path({str(board)!r}))
"""
