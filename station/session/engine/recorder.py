"""Collects the steps and decisions of one episode while it runs, and builds the immutable Episode at its end."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.episode import Episode, EpisodeHeader
from datasets.observation import FloatArray, Observation
from datasets.spec import DataSpec
from hardware.cell import Step


class EpisodeRecorder:
    """T steps, T+1 observations, K decisions, growing."""

    def __init__(self, spec: DataSpec, first: Observation, n_obs: int) -> None:
        """`first` is the first observation; windows hold `n_obs` observations."""
        self.spec = spec
        self._observations = [first]
        self._steps: list[Step] = []
        self._starts: list[int] = []
        self._seen: list[int] = []
        self._features: list[dict[str, FloatArray]] = []
        self._decisions: list[dict[str, FloatArray]] = []
        self._window: deque[Observation] = deque([first] * n_obs, maxlen=n_obs)

    @property
    def steps(self) -> int:
        """T so far."""
        return len(self._steps)

    @property
    def chunks(self) -> int:
        """K so far, the running one included."""
        return len(self._starts)

    @property
    def decided_at(self) -> list[int]:
        """[K] step of the observation that each decision was taken on; before its chunk's start with an overlap."""
        return list(self._seen)

    @property
    def window(self) -> tuple[Observation, ...]:
        """The last n_obs observations, oldest first; the first one repeated where there are fewer."""
        return tuple(self._window)

    @property
    def newest(self) -> Observation:
        """The observation that the next decision is taken on."""
        return self._observations[-1]

    def decided(
        self,
        features: dict[str, FloatArray],
        chosen: dict[str, FloatArray],
        *,
        seen: int | None = None,
        after: int = 0,
    ) -> None:
        """A decision was taken: its features and what was chosen, one entry of each.

        `seen`: number of steps at its observation; default: the newest. Its first step follows `after` more steps of
        the running chunk.
        """
        self._seen.append(self.steps if seen is None else seen)
        self._starts.append(self.steps + after)
        self._features.append(features)
        self._decisions.append(chosen)

    def stepped(self, step: Step) -> None:
        """One control period is over."""
        self._steps.append(step)
        self._observations.append(step.observation)
        self._window.append(step.observation)

    def observed_again(self, observation: Observation) -> None:
        """After a pause: the newest observation is taken again, and a decision nothing came of is forgotten."""
        self._observations[-1] = observation
        self._window[-1] = observation
        if self.steps == 0:
            self._window.extend([observation] * len(self._window))
        self.forget_unexecuted()

    def forget_unexecuted(self) -> None:
        """Forget a decision of which no step was executed."""
        if self._starts and self._starts[-1] >= self.steps:
            self._starts.pop()
            self._seen.pop()
            self._features.pop()
            self._decisions.pop()

    def steps_between(self, first: int, end: int) -> dict[str, NDArray[Any]]:
        """The steps from `first` to before `end` and what each led to: name -> [n, ...]; more may come meanwhile."""
        steps = self._steps[first:end]
        return {
            "proprioception": np.stack([step.observation.proprioception for step in steps]),
            "observation_time": np.array([step.observation.time for step in steps]),
            "action": np.stack([step.action for step in steps]),
            "sent": np.stack([step.sent for step in steps]),
            "command_time": np.array([step.command_time for step in steps]),
            **{
                f"images.{camera.name}": np.stack([step.observation.images[camera.name] for step in steps])
                for camera in self.spec.cameras
            },
        }

    def build(self, header: EpisodeHeader, final: dict[str, FloatArray]) -> Episode:
        """The episode; `final` are the features of the final observation."""
        starts = np.asarray(self._starts, np.int64)
        da = self.spec.da
        return Episode(
            header=header,
            images={
                camera.name: np.stack([seen.images[camera.name] for seen in self._observations])
                for camera in self.spec.cameras
            },
            proprioception=np.stack([seen.proprioception for seen in self._observations]).astype(np.float32),
            observation_time=np.array([seen.time for seen in self._observations], np.float64),
            action=np.array([step.action for step in self._steps], np.float32).reshape(-1, da),
            sent=np.array([step.sent for step in self._steps], np.float32).reshape(-1, da),
            command_time=np.array([step.command_time for step in self._steps], np.float64),
            chunk_start=starts,
            chunk_length=np.diff(np.append(starts, self.steps)).astype(np.int64),
            features={name: np.stack([row[name] for row in [*self._features, final]]) for name in final},
            decisions=_stacked(self._decisions),
        )


def _stacked(rows: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}
