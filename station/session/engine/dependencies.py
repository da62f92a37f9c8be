"""The parts of an engine: cells, method, replay buffer. Tests pass fakes, `factory` builds the real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datasets.spec import DataSpec
from datasets.store import EpisodeStore
from hardware.cell import Cell
from policy.replay import ReplayBuffer
from policy.steering.interface import Steering
from station.session.core.state import Rules
from station.session.engine.options import EngineOptions
from station.tasks.session_settings import SessionSettings


@dataclass(frozen=True, kw_only=True)
class EngineDependencies:
    """Made for one engine and consumed by it."""

    cells: Sequence[Cell]
    steering: Steering
    """Fresh; the engine restores its checkpoint."""
    replay: Callable[[EpisodeStore], ReplayBuffer]
    """A fresh, empty replay over the session's online episodes."""
    base_hash: str
    device: str = "cpu"
    """Where the method computes."""
    decision_threads: int = 1
    """CPU threads of one decision."""
    n_obs: int
    overlap: int = 0
    """Steps of the running chunk that are left when the next one is decided on."""
    settings: SessionSettings
    remarks: tuple[str, ...] = ()
    """What the operator should know before anything moves, one sentence each."""

    @property
    def spec(self) -> DataSpec:
        """What one step looks like; the same for all cells."""
        return self.cells[0].spec

    @property
    def simulated(self) -> bool:
        """All cells are simulated."""
        return all(cell.simulated for cell in self.cells)


def rules(parts: EngineDependencies, options: EngineOptions) -> Rules:
    """What stays the same while this engine runs."""
    settings = parts.settings
    return Rules(
        cells=len(parts.cells),
        grace=settings.grace,
        episodes=settings.episodes if options.episodes is None else options.episodes,
        chunks=settings.chunks if options.chunks is None else options.chunks,
        evaluation_every=settings.evaluation_every,
        evaluation_episodes=settings.evaluation_episodes,
        final_evaluation_episodes=settings.final_evaluation_episodes,
        simulated=parts.simulated,
    )
