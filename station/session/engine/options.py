"""The options of an engine: filled by a command line, sent to the engine's process as JSON, checked at both ends.

An option that is not set is taken from the journal or the task, by the engine. Loads no torch.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, ValidationError

from datasets.errors import UsageError
from datasets.plain_text import from_json
from datasets.settings import Settings
from hardware.cell import ClockSpeed
from station.compute import AUTO, PATTERN
from station.tasks.settings_text import problems


class EngineOptions(Settings):
    """How one engine runs a session."""

    headless: bool = False
    """End when finished, and on a fault or a label that needs a person while no one is watching."""
    autopilot: bool | None = None
    """The automatic operator labels; not set: as in the journal."""
    mistakes: float | None = Field(default=None, ge=0.0, le=1.0)
    """Share of labels the automatic operator gets wrong; not set: as in the journal, else the task."""
    speed: ClockSpeed | None = None
    """Clock of simulated cells; not set: as fast as possible if headless, else as in the journal."""
    cells: int | None = Field(default=None, ge=1, le=64)
    """Simulated cells in parallel; not set: the task's if headless, else 1, as an operator labels one arm at a time."""
    episodes: int | None = Field(default=None, ge=0)
    """Goal: online episodes; not set: the task's."""
    chunks: int | None = Field(default=None, ge=0)
    """Goal: online chunks; not set: the task's."""
    evaluate: int | None = Field(default=None, ge=1)
    """Run one evaluation block of this many episodes, then end."""
    accept_devices: bool = False
    """Accept the changed devices that the newest refusal named."""
    device: str = Field(default=AUTO, pattern=PATTERN)
    """Where networks compute: cpu, cuda, cuda:N, or auto, which takes a GPU if there is one that works. A resumed
    session computes the same numbers only on the same device."""
    policy_server: str | None = None
    """Address of the policy server that computes the base policy, or "here"; not set: as in the operator's file."""
    threads: int = Field(default=1, ge=1)
    """Threads of one computation; a resumed session computes the same numbers only with the same number."""
    decision_threads: int | None = Field(default=None, ge=1, le=256)
    """CPU threads of one decision; not set: as in the journal, else for a large network all cores, less those that move
    a real arm, and for a small one `threads`. A resumed session computes the same numbers only with the same number."""
    patience: float = Field(default=10.0, ge=0.0)
    """s that a headless engine waits for a front end to attach before it ends on what needs a person."""

    @classmethod
    def checked(cls, **values: object) -> Self:
        """Options from a command line. Raises UsageError, which names the option, its value and its range."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(f"Engine option {' '.join(problems(cls, error, values))}") from error

    @classmethod
    def from_json(cls, text: str = "{}") -> Self:
        """Options as `to_json` writes them. Raises UsageError."""
        try:
            values = dict(from_json(text))
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"The engine's options are not a JSON object ({error}). Start the engine with 'station run'."
            ) from error
        return cls.checked(**values)

    def to_json(self) -> str:
        """Only what differs from the defaults, so that a process list stays readable."""
        return self.model_dump_json(exclude_defaults=True)
