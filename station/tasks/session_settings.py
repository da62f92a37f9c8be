"""How a session runs: its rhythm, its goals, its grace. What a method learns with is in the method's settings."""

from __future__ import annotations

from pydantic import Field

from datasets.settings import Settings


class SessionSettings(Settings):
    """Episode length, labels, evaluation and goals."""

    episode_steps: int = Field(default=60, ge=1, le=100_000)
    """Control steps after which an episode ends as a timeout."""
    cells: int = Field(default=1, ge=1, le=64)
    """Cells that move at the same time: 1 for a robot, more for simulated ones."""
    grace: float = Field(default=2.0, ge=0.0, le=60.0)
    """s in which a fresh label can still be changed before updates begin; no grace with the automatic operator."""
    episodes: int = Field(default=0, ge=0)
    """Goal: online episodes that are not void; 0 for no goal."""
    chunks: int = Field(default=0, ge=0)
    """Goal: executed chunks of online episodes that are not void; 0 for no goal."""
    evaluation_every: int = Field(default=0, ge=0)
    """Online episodes between two evaluation blocks; 0 for none but those asked for."""
    evaluation_episodes: int = Field(default=20, ge=1, le=10_000)
    """Episodes of an evaluation block."""
    final_evaluation_episodes: int = Field(default=0, ge=0, le=10_000)
    """Episodes of the evaluation that follows when the goal is reached; 0 for none."""
    base_evaluation_episodes: int = Field(default=100, ge=1, le=10_000)
    """Episodes with which each path of a freshly trained base is judged."""
    rolling_window: int = Field(default=50, ge=1, le=10_000)
    """Episodes over which the rolling success rate is taken."""
    mistakes: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of deliberately wrong labels when the automatic operator labels."""
