from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.durable import DiskFullError
from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind
from datasets.image_memory import free_memory
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore
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
    windows = TrainingWindows.from_episodes([numbered(0, 6)], n_obs=2, prediction_horizon=3)
    batch = windows.batch(np.array([2]))
    assert batch.proprioception[0, :, 0].tolist() == [1, 2]
    assert batch.images["top"][0, :, 0, 0, 0].tolist() == [1, 2]
    assert batch.actions[0, :, 0].tolist() == [2, 3, 4]


def test_edges_repeat_the_first_and_the_last_step_of_their_own_episode() -> None:
    windows = TrainingWindows.from_episodes([numbered(0, 3), numbered(10, 4)], n_obs=3, prediction_horizon=4)
    batch = windows.batch(np.array([2, 3]))
    assert batch.actions[0, :, 0].tolist() == [2, 2, 2, 2]
    assert batch.proprioception[1, :, 0].tolist() == [10, 10, 10]
    assert batch.actions[1, :, 0].tolist() == [10, 11, 12, 13]


def test_every_recorded_step_opens_one_window_and_the_final_observation_none() -> None:
    windows = TrainingWindows.from_episodes([numbered(0, 3), numbered(10, 4)], n_obs=1, prediction_horizon=2)
    assert len(windows) == 7
    assert windows.episode.tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_empty_episodes_are_left_out_and_nothing_at_all_is_an_error() -> None:
    assert len(TrainingWindows.from_episodes([numbered(0, 0), numbered(5, 2)], 1, 2)) == 2
    with pytest.raises(WindowError, match="Import demonstrations"):
        TrainingWindows.from_episodes([], 1, 2)


def committed(tmp_path: Path, *episodes: Episode) -> EpisodeStore:
    store = EpisodeStore(tmp_path / "demos", writable=True)
    for episode in episodes:
        store.commit(episode)
    return store


@pytest.mark.parametrize("limit", [0, 10**9], ids=["mapped from a file", "in memory"])
def test_windows_of_a_store_equal_those_of_its_episodes_wherever_the_images_lie(
    tmp_path: Path, limit: int
) -> None:
    episodes = [numbered(40, 5), numbered(0, 0), numbered(10, 4)]
    store = committed(tmp_path, *episodes)
    (tmp_path / "room").mkdir()
    expected = TrainingWindows.from_episodes(episodes, n_obs=2, prediction_horizon=3)
    names = [episode.header.id for episode in episodes]
    windows = TrainingWindows.from_store(store, names, 2, 3, folder=tmp_path / "room", limit=limit)
    assert len(windows) == len(expected) == 9
    rows = stream(0, "rows").permutation(9)
    batch, wanted = windows.batch(rows), expected.batch(rows)
    np.testing.assert_array_equal(batch.images["top"], wanted.images["top"])
    np.testing.assert_array_equal(batch.proprioception, wanted.proprioception)
    np.testing.assert_array_equal(batch.actions, wanted.actions)
    assert list((tmp_path / "room").iterdir()) == []


def test_images_that_fit_neither_memory_nor_disk_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int, _offset: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = committed(tmp_path, numbered(0, 3))
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DiskFullError, match="images to train on"):
        TrainingWindows.from_store(store, ["demo-0"], 1, 2, folder=tmp_path, limit=0)


def test_a_container_with_little_memory_counts_as_little_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_memory(tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) > 5000


def test_episodes_of_different_specs_do_not_mix() -> None:
    other = numbered(10, 3)
    other = replace(other, header=replace(other.header, spec=replace(SPEC, control_hz=30.0)))
    with pytest.raises(WindowError, match="demo-10"):
        TrainingWindows.from_episodes([numbered(0, 3), other], 1, 2)
