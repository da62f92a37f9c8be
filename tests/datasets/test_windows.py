from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.windows import TrainingWindows, WindowError

SPEC = DataSpec(
    cameras=(CameraSpec(name="top", height=4, width=5),),
    proprioception=("x",),
    action=ActionSpec(),
    control_hz=10.0,
)


def numbered(first: int, steps: int) -> Episode:
    """Every frame, state and action carries its own number, counted from `first`."""
    numbers = np.arange(first, first + steps + 1)
    return Episode(
        header=EpisodeHeader(
            id=f"demo-{first}",
            kind=EpisodeKind.DEMO,
            ordinal=first,
            spec=SPEC,
            ending=Ending.RECORDED,
            created="",
        ),
        images={"top": np.broadcast_to(numbers[:, None, None, None], (steps + 1, 4, 5, 3)).astype(np.uint8)},
        proprioception=numbers[:, None].astype(np.float32),
        observation_time=numbers / 10.0,
        action=np.repeat(numbers[:-1, None], 7, axis=1).astype(np.float32),
        sent=np.zeros((steps, 7), np.float32),
        command_time=numbers[:-1] / 10.0,
    )


def test_a_window_pairs_past_observations_with_the_actions_that_followed() -> None:
    windows = TrainingWindows.from_episodes([numbered(0, 6)], n_obs=2, horizon=3)
    batch = windows.batch(np.array([2]))
    assert batch.proprioception[0, :, 0].tolist() == [1, 2]
    assert batch.images["top"][0, :, 0, 0, 0].tolist() == [1, 2]
    assert batch.actions[0, :, 0].tolist() == [2, 3, 4]


def test_edges_repeat_the_first_and_the_last_step_of_their_own_episode() -> None:
    windows = TrainingWindows.from_episodes([numbered(0, 3), numbered(10, 4)], n_obs=3, horizon=4)
    batch = windows.batch(np.array([2, 3]))
    assert batch.actions[0, :, 0].tolist() == [2, 2, 2, 2]
    assert batch.proprioception[1, :, 0].tolist() == [10, 10, 10]
    assert batch.actions[1, :, 0].tolist() == [10, 11, 12, 13]


def test_every_recorded_step_opens_one_window_and_the_final_observation_none() -> None:
    windows = TrainingWindows.from_episodes([numbered(0, 3), numbered(10, 4)], n_obs=1, horizon=2)
    assert len(windows) == 7
    assert windows.episode.tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_empty_episodes_are_left_out_and_nothing_at_all_is_an_error() -> None:
    assert len(TrainingWindows.from_episodes([numbered(0, 0), numbered(5, 2)], 1, 2)) == 2
    with pytest.raises(WindowError, match="Import demonstrations"):
        TrainingWindows.from_episodes([], 1, 2)


def test_episodes_of_different_specs_do_not_mix() -> None:
    other = numbered(10, 3)
    other = replace(other, header=replace(other.header, spec=replace(SPEC, control_hz=30.0)))
    with pytest.raises(WindowError, match="demo-10"):
        TrainingWindows.from_episodes([numbered(0, 3), other], 1, 2)
