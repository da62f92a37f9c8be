"""A task: everything a session is made of, as one frozen, checked group of settings per part.

Composes the settings of the parts, reads them from TOML and checks what no part can check alone. Keeps no defaults
of its own besides the demonstrations'; builds no cell and no policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from datasets.settings import Settings
from hardware.simulation.settings import SimulationSettings
from policy.base import PolicySettings
from policy.bottleneck import BottleneckSettings
from policy.pretrain import TrainingSettings
from policy.steering.zprl import ZPRLSettings
from station.library import TaskError, find_task, list_tasks, read_toml
from station.session.settings import SessionSettings
from station.settings_text import problems, to_toml

__all__ = [
    "DemonstrationSettings",
    "Task",
    "TaskError",
    "list_tasks",
    "load_task",
    "parse_task",
    "task_to_toml",
]

_MOST_PROBLEMS = 12


class DemonstrationSettings(Settings):
    """Demonstrations of a simulated cell's scripted demonstrator, who stands in for the person with the headset."""

    count: dict[str, int] = Field(default_factory=lambda: {"careful": 6, "hasty": 5, "off_centre": 5})
    """Recordings per style."""
    successes_only: bool = True
    """Keep recording until each style has its number of successes; failures are kept as files but not imported."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of the demonstrator; not set: the session's seed."""


class Task(Settings):
    """One task, as its file and each session's frozen copy hold it."""

    name: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Lower-case letters, digits, hyphens and underscores; sessions are named after it."""
    description: str = ""
    """One sentence for the list of tasks."""
    cell: SimulationSettings = Field(default_factory=SimulationSettings)
    """The workplace: its scene, cameras, control rate and action representation."""
    demonstrations: DemonstrationSettings = Field(default_factory=DemonstrationSettings)
    """What the scripted demonstrator records where no recordings are given."""
    policy: PolicySettings = Field(default_factory=PolicySettings)
    """The base policy: encoder, observation history, chunk and flow head."""
    bottleneck: BottleneckSettings = Field(default_factory=BottleneckSettings)
    """The variational bottleneck that steering acts through."""
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    """Offline training of base and bottleneck."""
    steering: ZPRLSettings = Field(default_factory=ZPRLSettings)
    """The online method."""
    session: SessionSettings = Field(default_factory=SessionSettings)
    """Episode length, labels, evaluation and goals."""


def load_task(name: str | Path) -> Task:
    """A task of the library by name, or the operator's own by the path of its TOML file.

    Raises:
        TaskError: no such task, no valid TOML, or settings that cannot be; says file, section, key and remedy.
    """
    path = find_task(name)
    return parse_task(read_toml(path), source=str(path))


def parse_task(content: Mapping[str, Any], *, source: str) -> Task:
    """A task from plain TOML content; `source` names the file in errors.

    Raises:
        TaskError: a setting is unknown, missing or out of range.
    """
    try:
        return Task.model_validate(dict(content))
    except ValidationError as error:
        found = problems(Task, error)
        shown = [f"{source}: {problem}" for problem in found[:_MOST_PROBLEMS]]
        if len(found) > len(shown):
            shown.append(f"{source}: and {len(found) - len(shown)} more.")
        raise TaskError("\n".join(shown)) from error


def task_to_toml(task: Task) -> str:
    """The whole task with text and range of every setting as comments; `parse_task` takes it back."""
    return to_toml(task)
