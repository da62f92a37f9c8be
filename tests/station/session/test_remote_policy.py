"""Whole sessions whose base policy computes in another process: the same episodes, and every way to lose the server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.errors import StationError
from datasets.journal.journal import Journal
from datasets.journal.records import FaultRaised, Labelled
from datasets.store import EpisodeStore
from policy import weights
from station.jobs import headless
from station.policy_access import TOKEN
from station.reporting import SilentReporter
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from tests.station.test_policy_server import free_port

pytestmark = pytest.mark.slow
DEADLINE = 3.0


@pytest.fixture(autouse=True)
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's file and a token, for the engines and the servers that a test starts."""
    config = tmp_path / "config.toml"
    config.write_text(f"[policy-server]\ndeadline = {DEADLINE}\n")
    monkeypatch.setenv("STATION_CONFIG", str(config))
    monkeypatch.setenv(TOKEN, "a-token-of-the-tests")


@contextmanager
def serving(place: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`station policy-server` in its own process, once it answers."""
    words = [
        sys.executable,
        "-m",
        "station",
        "policy-server",
        str(place),
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(1200):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None
                    threading.Event().wait(0.05)
            yield server
        finally:
            server.kill()


def run(session: SessionFolder, chunks: int, url: str) -> None:
    options = EngineOptions(
        headless=True, autopilot=True, chunks=chunks, policy_server=url, device="cpu", patience=0.0
    )
    headless.run(session, options, reporter=SilentReporter())


def test_a_session_with_a_policy_server_is_the_same_session(session: SessionFolder, tmp_path: Path) -> None:
    shutil.copytree(session.path, tmp_path / "there")
    there, port = SessionFolder.open(tmp_path / "there"), free_port()
    with serving(session.path, port):
        run(there, 24, f"ws://127.0.0.1:{port}")
    run(session, 24, "here")
    stores = [EpisodeStore(folder.episodes) for folder in (session, there)]
    assert stores[0].ids() == stores[1].ids() != []
    for name in stores[0].ids():
        here, remote = (store.load(name) for store in stores)
        for group in ("images", "features", "decisions"):
            ours, theirs = getattr(here, group), getattr(remote, group)
            assert ours.keys() == theirs.keys()
            assert all(np.array_equal(ours[key], theirs[key]) for key in ours)
        assert np.array_equal(here.action, remote.action) and np.array_equal(here.sent, remote.sent)
    checkpoints = [
        {file.name: weights.read(file).tensors for file in folder.steering.glob("*.safetensors")}
        for folder in (session, there)
    ]
    assert checkpoints[0].keys() == checkpoints[1].keys() and checkpoints[0]
    for file, tensors in checkpoints[0].items():
        assert all(torch.equal(tensor, checkpoints[1][file][name]) for name, tensor in tensors.items())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_a_server_that_is_lost_in_an_episode_is_a_fault_and_another_one_takes_over(
    session: SessionFolder, how: signal.Signals
) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    with serving(session.path, port) as server:
        lost = threading.Thread(target=_once_labelled, args=(session, lambda: os.kill(server.pid, how)))
        lost.start()
        with pytest.raises(StationError) as ended:
            run(session, 10_000, url)
        lost.join()
    assert "policy server" in str(ended.value)
    faults = Journal(session.journal).ledger().lines_of(FaultRaised)
    sentence = faults[-1].record.reason
    assert sentence.startswith(f"The policy server at {url} ")
    expected = f"did not answer within {DEADLINE:g} s" if how is signal.SIGSTOP else "cannot be reached"
    assert expected in sentence and "Restart it there" in sentence
    assert sentence in str(ended.value)
    before = len(EpisodeStore(session.episodes).ids())
    with serving(session.path, port):
        run(session, 3 * (before + 3), url)
    assert len(EpisodeStore(session.episodes).ids()) > before


def _once_labelled(session: SessionFolder, then: object) -> None:
    journal = Journal(session.journal)
    for _ in range(6000):
        journal.refresh()
        labels = journal.ledger().lines_of(Labelled)
        if sum(line.record.episode.startswith("online") for line in labels) >= 2:
            break
        threading.Event().wait(0.02)
    assert callable(then)
    then()


def test_an_engine_does_not_start_without_its_server_or_with_another_base(
    session: SessionFolder, tmp_path: Path
) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    with pytest.raises(StationError, match=r"cannot be reached .* Restart it there"):
        run(session, 3, url)
    from station.testing.rehearsal import tiny_base

    other = tiny_base()
    other.save(tmp_path / "other")
    with serving(tmp_path / "other", port):
        with pytest.raises(StationError) as refused:
            run(session, 3, url)
        assert other.hash in str(refused.value) and "this session's is" in str(refused.value)
    assert EpisodeStore(session.episodes).ids() == [] if session.episodes.exists() else True
