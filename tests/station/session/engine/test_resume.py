"""A session that is cut off at any instant and resumed is the session that was never cut off."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCutOff, Record
from datasets.randomness import stream
from datasets.store import EpisodeStore
from datasets.verify import verify
from station.session.engine.checkpoint import NEWEST, PREVIOUS, Checkpoints
from station.session.engine.engine import Engine
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.session.snapshot import Counts, Phase
from station.session.status import count
from tests.station.session.answering import answering, go, rearm
from tests.station.session.driving import until
from tests.station.session.fakes import headless, make_folder, make_parts
from tests.station.session.leftovers import kept

EPISODES = 6
MISTAKES = 0.2


class Killed(BaseException):
    """Stands for SIGKILL inside one process: nothing after it is carried out."""


@dataclass(frozen=True)
class Outcome:
    """All that must not depend on interruptions."""

    episodes: dict[str, dict[str, Any]]
    labels: Mapping[str, tuple[object, bool]]
    weights: dict[str, torch.Tensor]
    counts: Counts


def outcome(folder: SessionFolder) -> Outcome:
    store = EpisodeStore(folder.episodes)
    weights, _ = Checkpoints(folder.steering).load(NEWEST)
    ledger = Journal(folder.journal).ledger()
    labels = {status.id: (status.outcome, status.void) for status in ledger.episodes.values()}
    return Outcome({name: flat(store, name) for name in store.ids()}, labels, weights, counted(folder))


def counted(folder: SessionFolder) -> Counts:
    """The order of lines within a round may differ; nothing that is counted does."""
    counts = count(folder)
    return Counts(**{**vars(counts), "last": tuple(sorted(counts.last, key=lambda mark: mark.id))})


def flat(store: EpisodeStore, name: str) -> dict[str, Any]:
    episode = store.load(name)
    header = {key: value for key, value in episode.header.to_json().items() if key != "created"}
    arrays = {key: value for key, value in vars(episode).items() if isinstance(value, np.ndarray)}
    groups = {
        f"{group}/{key}": value
        for group in ("images", "features", "decisions")
        for key, value in getattr(episode, group).items()
    }
    return {"header": header, **arrays, **groups}


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one.labels == other.labels
    assert one.counts == other.counts
    assert one.weights.keys() == other.weights.keys()
    for name, tensor in one.weights.items():
        assert torch.equal(tensor, other.weights[name]), name
    assert one.episodes.keys() == other.episodes.keys()
    for name, parts in one.episodes.items():
        for key, value in parts.items():
            np.testing.assert_array_equal(value, other.episodes[name][key], err_msg=f"{name} {key}")


def engine(folder: SessionFolder, cells: int, overlap: int = 0) -> Engine:
    return headless(folder, cells=cells, episodes=EPISODES, mistakes=MISTAKES, overlap=overlap)


def uninterrupted(path: Path, cells: int, overlap: int = 0) -> Outcome:
    folder = make_folder(path)
    with engine(folder, cells, overlap) as whole:
        whole.run()
    return outcome(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "overlap"), [(1, 0), (1, 1), (3, 0), (3, 1)])
def test_cut_off_between_any_two_turns_it_goes_on_exactly(tmp_path: Path, cells: int, overlap: int) -> None:
    whole = uninterrupted(tmp_path / "whole", cells, overlap)
    folder = make_folder(tmp_path / "cut")
    rng = stream(cells, "cuts")
    over = False
    while not over:
        part = engine(folder, cells, overlap)
        for _ in range(int(rng.integers(5, 80))):
            if not part.over:
                part.turn()
        over = part.over
        part.close()
    assert_same(outcome(folder), whole)


@pytest.mark.slow
@pytest.mark.parametrize("cells", [1, 3])
def test_cut_off_before_any_journal_line_it_goes_on_exactly(
    tmp_path: Path, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = uninterrupted(tmp_path / "whole", cells)
    folder = make_folder(tmp_path / "cut")
    rng = stream(cells, "lines")
    append, left = Journal.append, [0]

    def dying(journal: Journal, record: Record) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return append(journal, record)

    monkeypatch.setattr(Journal, "append", dying)
    over = False
    while not over:
        left[0] = int(rng.integers(2, 12))
        try:
            with engine(folder, cells) as part:
                part.run()
                over = part.over
        except Killed:
            continue
    assert_same(outcome(folder), whole)


@pytest.mark.slow
def test_stopped_again_and_again_and_killed_before_any_line_no_name_is_used_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "s")
    rng = stream(0, "stops")
    append, left = Journal.append, [0]

    def dying(journal: Journal, record: Record) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return append(journal, record)

    monkeypatch.setattr(Journal, "append", dying)
    for _ in range(30):
        left[0] = int(rng.integers(3, 16))
        with suppress(Killed), headless(folder, cells=2) as part:
            part.turn()
            for event in (rearm(), go()):
                part.post(answering(event, part.state))
                part.turn()
            part.run_until(lambda state: len(state.running) == 2)
            for _ in range(int(rng.integers(0, 6))):
                part.turn()
            part._latch.stop()
            part.turn()
    left[0] = 1000
    with headless(folder, cells=2):
        pass
    ledger, store = Journal(folder.journal).ledger(), EpisodeStore(folder.episodes)
    cut = [line.record for line in ledger.lines_of(EpisodeCutOff)]
    names = [record.episode for record in cut]
    assert len(names) > 10 and len({*names, *store.ids()}) == len(names) + len(store.ids())
    assert kept(folder) == {record.episode: record.steps for record in cut if record.steps}
    assert verify([store], folder.journal).ok


@pytest.mark.slow
def test_a_learner_without_a_whole_newest_checkpoint_learns_the_lost_block_again(tmp_path: Path) -> None:
    whole = uninterrupted(tmp_path / "whole", 1)
    folder = make_folder(tmp_path / "cut")
    with engine(folder, 1) as first:
        first.run_until(lambda state: state.updates_done == 4 and not state.unsaved)
    newest = Checkpoints(folder.steering).path(NEWEST)
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    with engine(folder, 1) as second:
        assert any("damaged" in line and "the one before" in line.lower() for line in second.snapshot().log)
        second.run()
    assert_same(outcome(folder), whole)


@pytest.mark.slow
def test_a_learner_without_any_checkpoint_learns_everything_again(tmp_path: Path) -> None:
    whole = uninterrupted(tmp_path / "whole", 1)
    folder = make_folder(tmp_path / "cut")
    with engine(folder, 1) as first:
        first.run_until(lambda state: state.updates_done == 4 and not state.unsaved)
    for name in (NEWEST, PREVIOUS):
        Checkpoints(folder.steering).path(name).unlink()
    with engine(folder, 1) as second:
        second.run()
    assert_same(outcome(folder), whole)


def test_a_finished_session_stays_as_it_is_when_it_is_opened_again(tmp_path: Path) -> None:
    whole = uninterrupted(tmp_path / "whole", 2)
    with engine(SessionFolder.open(tmp_path / "whole"), 2) as again:
        again.run()
    assert_same(outcome(SessionFolder.open(tmp_path / "whole")), whole)


def test_a_round_cut_off_on_three_cells_is_finished_on_one_with_the_same_numbers(tmp_path: Path) -> None:
    whole = uninterrupted(tmp_path / "whole", 3)
    folder = make_folder(tmp_path / "cut")
    with engine(folder, 3) as first:
        first.run_until(lambda state: bool(state.verdicts) and bool(state.open_slots))
        assert len(first.state.open_slots) == 2
    with engine(folder, 1) as second:
        second.run_until(lambda state: state.updates_done == 1)
    cut = outcome(folder)
    assert set(cut.episodes) == {f"online-00000{ordinal}" for ordinal in range(3)}
    for name, parts in cut.episodes.items():
        for key, value in parts.items():
            np.testing.assert_array_equal(value, whole.episodes[name][key], err_msg=f"{name} {key}")


@pytest.mark.slow
def test_killed_by_the_system_again_and_again_it_goes_on_exactly(tmp_path: Path) -> None:
    whole = uninterrupted(tmp_path / "whole", 2)
    folder = make_folder(tmp_path / "cut")
    rng = stream(0, "kills")
    for _ in range(3):
        process = start(folder.path)
        wait_for_the_engine(folder, process)
        time.sleep(float(rng.uniform(0.0, 0.6)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(folder.path).wait(timeout=60) == 0
    assert_same(outcome(folder), whole)


def wait_for_the_engine(folder: SessionFolder, process: subprocess.Popen[bytes]) -> None:
    folder.engine.unlink(missing_ok=True)
    while not folder.engine.exists() and process.poll() is None:
        time.sleep(0.01)


def start(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.station.session.engine.tiny_engine", str(path), str(EPISODES)]
    )


def test_an_engine_at_rest_reads_the_past_back_before_it_has_to_learn(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, cells=2, episodes=EPISODES) as engine:
        engine.run()
        before = engine.session.learner.replay.fingerprint()
    with Engine(folder, make_parts(folder), EngineOptions(autopilot=False)) as again:
        replay = again.session.learner.replay
        assert not len(replay)
        until(again, lambda: len(replay) > 0)
        assert again.state.phase is Phase.READY
        assert replay.fingerprint() == before
        assert again.snapshot().steering.reading == 0


def test_a_damaged_past_is_told_on_the_screen_of_an_engine_at_rest(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, cells=2, episodes=EPISODES) as engine:
        engine.run()
    store = EpisodeStore(folder.episodes)
    name = next(name for name in store.ids() if name.startswith("online"))
    for file in (folder.episodes / "episodes" / name).rglob("c.0*"):
        data = file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with Engine(folder, make_parts(folder), EngineOptions(autopilot=False)) as again:
        until(again, lambda: again.state.phase is Phase.FAULT)
        assert name in again.state.reason and "station verify" in again.state.reason
        assert not again.state.recoverable
        again.turn()
        assert again.state.phase is Phase.FAULT


def test_an_episode_that_a_crash_has_torn_is_put_aside_and_the_session_goes_on(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, episodes=2) as engine:
        engine.run()
    name = EpisodeStore(folder.episodes).ids()[-1]
    (folder.episodes / "episodes" / name / "zarr.json").write_bytes(b"")
    with Engine(folder, make_parts(folder), EngineOptions(autopilot=False)) as again:
        assert any(name in said and "zarr.json" in said for said in again.session.said)
        assert again.session.journal.ledger().episodes[name].void
        until(again, lambda: again.state.phase is Phase.READY)
    assert (folder.episodes / "quarantine" / f"{name}-0").is_dir()
