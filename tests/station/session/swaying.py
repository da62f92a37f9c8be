"""An engine on devices whose policy needs no training: it sways every arm about its home pose until a key ends it.

For faults while something moves. In the test's own process, or in one of its own: ``python -m
tests.station.session.swaying SESSION CELL``, CELL being the file that `Sway.write` makes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.observation import FloatArray
from datasets.rotation import pose_to_action
from datasets.spec import DataSpec
from datasets.store import EpisodeStore
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from policy.replay import ReplayBuffer
from policy.steering.interface import Decision, Window
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.engine import Engine
from station.session.engine.launch import serve
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.tasks.session_settings import SessionSettings
from tests.hardware.fakes import read_cell
from tests.station.session.fakes import Pusher, make_folder

SETTINGS = SessionSettings(episode_steps=3000, grace=0.0)
EXECUTE = 4
FAR = 0.06
"""m that an arm goes forward from home."""
STEP = 0.012
"""m"""
_DOWN = np.array([1.0, 0.0, 0.0, 0.0])


class Swayer(Pusher):
    """Forward and back, all arms alike, without a look at anything."""

    def __init__(self, spec: DataSpec, home: Sequence[float]) -> None:
        super().__init__()
        self._spec, self._home = spec, np.array(home)
        self._away, self._step = 0.0, STEP

    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        return {"c": np.ones((window.batch, 3), np.float32)}

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        poses = np.tile(self._home, (EXECUTE, 1))
        for pose in poses:
            if not 0.0 <= self._away + self._step <= FAR:
                self._step = -self._step
            self._away += self._step
            pose[0] += self._away
        one = pose_to_action(poses, np.tile(_DOWN, (EXECUTE, 1)), np.ones(EXECUTE), self._spec.action)
        actions = np.tile(one, (window.batch, 1, self._spec.action.arms)).astype(np.float32)
        return Decision(actions=actions, chosen={"dz": np.zeros((window.batch, 1), np.float32)})


@dataclass(frozen=True, kw_only=True)
class Sway:
    """Which devices, and where the tools are at home."""

    cell: dict[str, Any]
    """The [cell] table of a task file."""
    home: tuple[float, float, float]
    """m, of every arm in its own base frame."""

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps({"cell": self.cell, "home": self.home}))
        return path

    def parts(self, latch: StopLatch) -> EngineDependencies:
        settings = read_cell(self.cell)
        steering = Swayer(settings.spec, self.home)

        def replay(store: EpisodeStore) -> ReplayBuffer:
            return ReplayBuffer.for_method(steering, base_hash="tiny")

        return EngineDependencies(
            cells=[RobotCell(settings, latch)],
            steering=steering,
            replay=replay,
            base_hash="tiny",
            n_obs=1,
            settings=SETTINGS,
        )

    def engine(self, path: Path) -> Engine:
        """One in this process, of a session that is made if it is not there."""
        folder = SessionFolder.open(path) if path.exists() else make_folder(path, SETTINGS)
        latch = StopLatch(folder.latch)
        return Engine(folder, self.parts(latch), EngineOptions(), latch=latch)


def main(session: Path, cell: Path) -> int:
    torch.set_num_threads(1)
    sway = Sway(**json.loads(cell.read_text()))
    return serve(session, EngineOptions(), lambda _, latch: sway.parts(latch))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
