"""A whole session of two arms: a base is trained on two-armed demonstrations and taught online, on simulated Frankas.

The real franky, controllers, hands, a video as the camera, the policy and ZPRL; a person at the keys; a reflex, a stop
and an engine that is killed while both arms move on the way.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, Labelled
from datasets.rotation import pose_to_action
from datasets.spec import DataSpec
from datasets.store import EpisodeStore
from datasets.verify import verify
from hardware.latch import StopLatch
from hardware.robot.settings import RobotCellSettings
from station.jobs import training
from station.reporting import SilentReporter
from station.session.core.events import Label
from station.session.folder import SessionFolder
from station.session.snapshot import Phase
from station.session.status import count
from station.tasks.config import Task, load_task
from tests.emulators.franka import READY, FrankaEmulator
from tests.hardware.arms.franka_cells import NEEDS_FRANKY, TOOL, franka_table
from tests.hardware.arms.xarm_bench import wait_until
from tests.hardware.fakes import read_cell
from tests.station.session.answering import go, rearm
from tests.station.session.attended import Attended, attended
from tests.station.session.leftovers import kept

pytestmark = [pytest.mark.realtime, pytest.mark.slow]
pytest.importorskip("franky", reason=NEEDS_FRANKY)
pytest.importorskip("franky_sim", reason=NEEDS_FRANKY)

DEMOS = 3
STEPS = 16
SIZE = 16
PATIENCE = 60.0


@pytest.fixture(scope="module")
def emulator() -> Iterator[FrankaEmulator]:
    with FrankaEmulator(2) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def folder(emulator: FrankaEmulator, tmp_path_factory: pytest.TempPathFactory) -> SessionFolder:
    """A session whose base is trained."""
    path = tmp_path_factory.mktemp("two-arms")
    camera = {"driver": "file", "name": "third", "path": str(film(path)), "height": SIZE, "width": SIZE}
    cell = read_cell(franka_table(emulator, path / "board", cameras=[camera]))
    folder = SessionFolder.create(path / "session", task(cell), task_name="two-frankas", seed=5)
    take_in(folder, [demonstration(cell.spec, number) for number in range(DEMOS)])
    training.train(folder, reporter=SilentReporter())
    return folder


def film(path: Path) -> Path:
    """A second of images in which every one differs from the one before."""
    random = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (64, 48))
    for _ in range(30):
        writer.write(random.integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    return path / "film.avi"


def task(cell: RobotCellSettings) -> Task:
    """As small as it goes."""
    tiny = load_task("place-orange-tiny")
    settings = {"episode_steps": 50, "cells": 1, "grace": 0.0}
    return tiny.model_copy(update={"cell": cell, "session": tiny.session.model_copy(update=settings)})


def demonstration(spec: DataSpec, number: int) -> Episode:
    """Both arms go five centimetres forward and come back while their hands close and open."""
    random = np.random.default_rng(number)
    swing = np.sin(np.linspace(0.0, np.pi, STEPS + 1))
    poses = np.array(TOOL) + np.outer(swing, [0.05, 0.01 * number, -0.02])
    pointing_down = np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (STEPS + 1, 4))
    one = pose_to_action(poses, pointing_down, 1.0 - 0.5 * swing, spec.action)
    action = np.tile(one, (1, spec.action.arms))[1:]
    joints = np.tile([*READY, 1.0], spec.action.arms)
    times = np.arange(STEPS + 1, dtype=np.float64) * np.float64(spec.dt)
    return Episode(
        header=EpisodeHeader(
            id=f"demo-{number:06d}",
            kind=EpisodeKind.DEMO,
            ordinal=number,
            spec=spec,
            ending=Ending.SUCCESS,
            created="2026-11-20T12:00:00+00:00",
            layout={},
            source={},
        ),
        images={"third": random.integers(0, 255, (STEPS + 1, SIZE, SIZE, 3), dtype=np.uint8)},
        proprioception=(joints + 0.1 * swing[:, None]).astype(np.float32),
        observation_time=times,
        action=action.astype(np.float32),
        sent=action.astype(np.float32),
        command_time=times[:-1],
        chunk_start=np.zeros(0, np.int64),
        chunk_length=np.zeros(0, np.int64),
        features={},
        decisions={},
    )


def take_in(folder: SessionFolder, demos: list[Episode]) -> None:
    store, journal = EpisodeStore(folder.demos, writable=True), Journal(folder.journal, writable=True)
    for demo in demos:
        store.commit(demo)
        journal.append(EpisodeCommitted.of_header(demo.header, steps=demo.steps, chunks=0))
        journal.append(Labelled(episode=demo.header.id, outcome=Outcome.SUCCESS, by="import"))


def teach(at: Attended, outcomes: list[Outcome]) -> list[str]:
    episodes = []
    for outcome in outcomes:
        episodes.append(at.roll())
        at.press(Label(episode=episodes[-1], outcome=outcome))
    at.until_phase(Phase.READY)
    return episodes


def both_stand(emulator: FrankaEmulator) -> bool:
    return all(max(map(abs, emulator.truth(robot)["speeds"])) < 0.02 for robot in (0, 1))


def test_two_arms_are_taught_through_a_reflex_a_stop_and_a_killed_engine(
    folder: SessionFolder, emulator: FrankaEmulator
) -> None:
    with attended(folder.path) as at:
        taught = teach(at, [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS])

        struck = at.roll()
        emulator.order("reflex", 1, errors=["cartesian_reflex"])
        seen = at.until_phase(Phase.FAULT)
        assert "right" in seen.reason and "cartesian_reflex" in seen.reason
        wait_until(lambda: both_stand(emulator), PATIENCE)
        at.press(go())
        taught += teach(at, [Outcome.FAILURE])

        stopped = at.roll()
        StopLatch(folder.latch).stop()
        at.until_phase(Phase.FAULT)
        at.press(rearm())
        at.press(go())
        at.until_phase(Phase.READY)
        before = count(folder)

        killed = at.roll(steps=9)
        at.strike(signal.SIGKILL)
        wait_until(lambda: both_stand(emulator), PATIENCE)
        at.process.wait()

    with attended(folder.path) as at:
        at.until_phase(Phase.READY)
        assert count(folder) == replace(before, cut_off=3)
        taught += teach(at, [Outcome.SUCCESS])

    counts = count(folder)
    assert (counts.success, counts.failure) == (3, 2)
    store = EpisodeStore(folder.episodes)
    assert verify([EpisodeStore(folder.demos), store], folder.journal).ok
    for name in taught:
        episode = store.load(name)
        assert episode.action.shape[1] == 2 * 7 and np.isfinite(episode.sent).all()
        assert (np.diff(episode.observation_time) > 0.0).all()
        assert episode.proprioception.shape[1] == 2 * (7 + 1)
    assert kept(folder).keys() == {struck, stopped, killed}
    assert not {struck, stopped, killed} & {*store.ids()}
