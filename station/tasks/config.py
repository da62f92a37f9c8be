"""A task: everything a session is made of, as one frozen, checked group of settings per part.

Composes the settings of the parts, reads them from TOML and checks what no part can check alone. Keeps no defaults
of its own besides the demonstrations'; builds no cell and no policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from datasets.settings import Settings
from datasets.wording import did_you_mean
from hardware.settings import CellSettings
from hardware.simulation.settings import SimulationSettings
from hardware.simulation.styles import STYLES
from policy.base import PolicySettings
from policy.bottleneck import BottleneckSettings
from policy.pretrain import TrainingSettings
from policy.steering.interface import SteeringSettings
from policy.steering.zprl import ZPRLSettings
from station.tasks.session_settings import SessionSettings
from station.tasks.settings_text import Beside, nested, problems, to_toml
from station.tasks.shelf import TaskError, find_task, list_tasks, read_toml
from station.trust import grant_operators_own

__all__ = [
    "BESIDE_CELL",
    "DemonstrationSettings",
    "Task",
    "TaskError",
    "list_tasks",
    "load_task",
    "parse_task",
    "task_to_toml",
]

BESIDE_CELL = Beside(("arms", "cameras", "safety", "placements"))
"""Tables of a cell that a file writes beside [cell], not in it."""
_MOST_PROBLEMS = 12


class DemonstrationSettings(Settings):
    """Demonstrations by the scripted demonstrator of a simulated cell, which replaces the person with the headset."""

    count: dict[str, Annotated[int, Field(ge=0, le=10_000)]] = Field(
        default_factory=lambda: {"careful": 6, "hasty": 5, "off_centre": 5}
    )
    """Recordings per style."""
    successes_only: bool = True
    """Record until each style has its number of successes, and train on successes only."""
    use_unlabelled: bool = False
    """Train also on demonstrations without a verdict; 'station train --unlabelled' says it for one session."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of the demonstrator; not set: the session's seed."""

    @field_validator("count")
    @classmethod
    def _known_styles(cls, count: dict[str, int]) -> dict[str, int]:
        for name in count:
            if name not in STYLES:
                hint = did_you_mean(name, STYLES, f"Choose from {', '.join(STYLES)}.")
                raise ValueError(f"there is no style '{name}'. {hint}")
        return count


class Task(Settings):
    """One task, as its file and each session's frozen copy hold it."""

    _former_names: ClassVar[Mapping[str, str]] = {"execute": "n_action_steps"}

    name: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Lower-case letters, digits, hyphens and underscores; sessions are named after it."""
    description: str = ""
    """One sentence for the list of tasks."""
    instruction: str = ""
    """The task in words, as policies that read read it in exports; empty: the description, up to its colon."""
    n_action_steps: int = Field(default=8, ge=1, le=128)
    """Steps of each predicted chunk that are executed (formerly execute); at most [policy] prediction_horizon."""
    overlap: int = Field(default=0, ge=0, le=127)
    """Steps before the end of the running chunk at which the next one is decided on, so that the arm does not wait for
    the policy; less than n_action_steps. 0, as in the paper: at its end."""
    cell: Annotated[CellSettings, BESIDE_CELL] = Field(default_factory=SimulationSettings)
    """The workplace: its scene, cameras, control rate and action representation."""
    demonstrations: DemonstrationSettings = Field(default_factory=DemonstrationSettings)
    """What the scripted demonstrator records where no recordings are given."""
    policy: PolicySettings = Field(default_factory=PolicySettings)
    """The base policy: encoder, observation history, chunk and flow head."""
    bottleneck: BottleneckSettings = Field(default_factory=BottleneckSettings)
    """The variational bottleneck that steering acts through."""
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    """Offline training of base and bottleneck."""
    steering: SteeringSettings = Field(default_factory=ZPRLSettings)
    """The online method."""
    session: SessionSettings = Field(default_factory=SessionSettings)
    """Episode length, labels, evaluation and goals."""

    @property
    def simulation(self) -> SimulationSettings:
        """The simulated workplace. Raises TaskError on a task for real devices."""
        if not isinstance(self.cell, SimulationSettings):
            raise TaskError(
                f"{self.name}: this works in simulation only, and [cell] kind is '{self.cell.kind}'. "
                "Choose a task with a simulated cell."
            )
        return self.cell

    @property
    def decided_steps(self) -> int:
        """Steps that a decision needs of the predicted chunk: those that the overlap skips, and those executed."""
        return self.n_action_steps + self.overlap

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.n_action_steps > self.policy.prediction_horizon:
            raise ValueError(
                f"n_action_steps = {self.n_action_steps} exceeds the predicted chunk, [policy] prediction_horizon = "
                f"{self.policy.prediction_horizon}; lower the first or raise the second"
            )
        if self.overlap >= self.n_action_steps:
            raise ValueError(
                f"overlap = {self.overlap} leaves nothing of a chunk of n_action_steps = {self.n_action_steps}; lower "
                "the first or raise the second"
            )
        if self.decided_steps > self.policy.prediction_horizon:
            raise ValueError(
                f"n_action_steps = {self.n_action_steps} and overlap = {self.overlap} together exceed the predicted "
                f"chunk, [policy] prediction_horizon = {self.policy.prediction_horizon}; lower one of the first two, "
                "or raise the third"
            )
        if self.session.cells > 1 and self.cell.kind != "simulated":
            raise ValueError(
                f"[session] cells = {self.session.cells}, and of real devices there is one; set it to 1"
            )
        images = {camera.name: (camera.height, camera.width) for camera in self.cell.spec.cameras}
        for name, (height, width) in self.policy.crops.items():
            if name not in images:
                raise ValueError(
                    f"[policy.crops] {name}: the cell has no such camera; it has {', '.join(images)}; "
                    "delete that crop, or correct its name"
                )
            if not (0 < height <= images[name][0] and 0 < width <= images[name][1]):
                raise ValueError(
                    f"[policy.crops] {name} = [{height}, {width}] does not fit into its images of "
                    f"{images[name][0]} by {images[name][1]}; crop at most the whole image"
                )
        return self


def load_task(name: str | Path) -> Task:
    """A task of the library by name, or the operator's own by the path of its TOML file.

    Raises:
        TaskError: no such task, invalid TOML, or invalid settings; says file, section, key and remedy.
    """
    path = find_task(name)
    return parse_task(read_toml(path), source=str(path))


def parse_task(content: Mapping[str, Any], *, source: str) -> Task:
    """A task from plain TOML content; `source` names the file in errors.

    Raises:
        TaskError: a setting is unknown, missing or out of range.
    """
    grant_operators_own()
    try:
        inside = nested(Task, content)
    except ValueError as error:
        raise TaskError(f"{source}: {error}") from error
    try:
        return Task.model_validate(inside)
    except ValidationError as error:
        found = problems(Task, error, content)
        shown = [f"{source}: {problem}" for problem in found[:_MOST_PROBLEMS]]
        if len(found) > len(shown):
            shown.append(f"{source}: and {len(found) - len(shown)} more.")
        raise TaskError(*shown) from error


def advice(task: Task) -> list[str]:
    """Problems with how a task's devices are named on this machine, one sentence each."""
    from hardware.robot.settings import RobotCellSettings

    if not isinstance(task.cell, RobotCellSettings):
        return []
    devices = (*task.cell.arms, *task.cell.cameras)
    return [f"{device.name}: {device.advice}" for device in devices if device.advice]


def task_to_toml(task: Task) -> str:
    """The whole task with text and range of every setting as comments; `parse_task` takes it back."""
    return to_toml(task)
