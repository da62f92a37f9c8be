"""Training as a session's owner sees it: chosen demonstrations, one judgement, exact continuation."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.errors import ExitCode
from datasets.journal.journal import Journal
from datasets.journal.records import BaseEvaluated, BaseTrained, EpisodeCommitted, Labelled, Voided
from datasets.lock import LockedError, WriterLock
from policy.base import BasePolicy
from policy.processes import Processes
from station.jobs import training
from station.jobs.demonstrations import usable
from station.reporting import JsonReporter, Reporter, SilentReporter
from station.session.folder import SessionFolder


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, also where the tests run in the background of a shell that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Recording(Reporter):
    """Remembers what a job told, and may interfere."""

    def __init__(self, interfere: Callable[[str, int], None] = lambda _stage, _done: None) -> None:
        self.stages: list[str] = []
        self.results: list[dict[str, Any]] = []
        self._interfere = interfere

    def progress(self, stage: str, done: int, total: int, **figures: float | None) -> None:
        self.stages.append(stage)
        self._interfere(stage, done)

    def event(self, kind: str, **facts: Any) -> None:
        if kind in ("result", "finding"):
            self.results.append({"event": kind, **facts})


def untrained(session: SessionFolder) -> SessionFolder:
    """The same session as it was after the import."""
    lines = session.journal.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["op"] in ("episode", "label", "import")]
    session.journal.write_bytes(b"".join(kept))
    shutil.rmtree(session.base)
    return session


def weights(session: SessionFolder) -> str:
    """Their hash, which the policy's file is checked against when it is read."""
    return BasePolicy.load(session.base).hash


def test_a_trained_session_knows_both_paths(session: SessionFolder) -> None:
    ledger = Journal(session.journal).ledger()
    assert training.trained(session)
    assert all(
        (rate := training.verdict(ledger, path)) is not None and rate.n == 2 for path in training.PATHS
    )
    report = json.loads((session.base / "report.json").read_text())
    assert report["demos"] == 2
    assert set(report["paths"]) == {"latent", "raw"}
    assert [stage["stage"] for stage in report["stages"]] == ["base", "bottleneck"]


def test_training_again_does_nothing_but_tell(session: SessionFolder) -> None:
    before, told = session.journal.read_bytes(), Recording()
    training.train(session, reporter=told)
    assert session.journal.read_bytes() == before
    assert told.stages == []
    assert [result["path"] for result in told.results] == ["latent", "raw"]


@pytest.mark.parametrize(
    "stage",
    ["base", *(pytest.param(stage, marks=pytest.mark.slow) for stage in ("bottleneck", "evaluate raw"))],
)
def test_interrupted_training_continues_to_the_same_weights(session: SessionFolder, stage: str) -> None:
    expected = weights(session)
    session = untrained(session)
    struck = False

    def interrupt(now: str, done: int) -> None:
        nonlocal struck
        if now == stage and done > 0 and not struck:
            struck = True
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        training.train(session, reporter=Recording(interrupt))
    assert not training.trained(session)
    training.train(session, reporter=SilentReporter())
    assert weights(session) == expected
    ledger = Journal(session.journal).ledger()
    assert len(ledger.lines_of(BaseTrained)) == 1
    assert [line.record.path for line in ledger.lines_of(BaseEvaluated)] == ["latent", "raw"]


class Signalled(Processes):
    """Another process than this one was asked to end."""

    def largest(self, number: int) -> int:
        return max(number, signal.SIGTERM)


def test_a_signal_to_one_process_ends_all_with_a_checkpoint(session: SessionFolder) -> None:
    session = untrained(session)
    with pytest.raises(KeyboardInterrupt) as ended:
        training.train(session, reporter=SilentReporter(), processes=Signalled())
    assert ended.value.args == (signal.SIGTERM,)
    assert [path.name for path in session.base.glob("state-*")] == ["state-000000010.safetensors"]


@pytest.mark.slow
def test_torchrun_trains_as_one_process_does_and_only_the_first_one_speaks(session: SessionFolder) -> None:
    alone = BasePolicy.load(session.base).state_dict()
    session = untrained(session)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "station", "train", str(session.path), "--device", "cpu", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert told.count("demonstrations") == told.count("done") == 1
    assert training.trained(session)
    together = BasePolicy.load(session.base).state_dict()
    assert all(torch.allclose(together[name], alone[name], rtol=0, atol=1e-4) for name in alone)


def test_void_and_failed_demonstrations_are_not_learnt_from(session: SessionFolder) -> None:
    journal = Journal(session.journal, writable=True)
    first, second = journal.ledger().episodes
    journal.append(Voided(episode=first, by="command", reason=""))
    journal.append(Labelled(episode=second, outcome=Outcome.FAILURE, by="command"))
    demos = list(journal.ledger().episodes.values())
    assert usable(demos, successes_only=True) == []
    assert [demo.id for demo in usable(demos, successes_only=False)] == [second]
    with pytest.raises(training.TrainingError, match="can use none of them: 1 failure, 1 void"):
        training.train(session, reporter=SilentReporter())


@pytest.mark.slow
def test_other_demonstrations_give_another_base(session: SessionFolder) -> None:
    before = weights(session)
    journal = Journal(session.journal, writable=True)
    journal.append(Voided(episode=next(iter(journal.ledger().episodes)), by="command", reason=""))
    assert not training.trained(session)
    training.train(session, reporter=SilentReporter())
    assert weights(session) != before
    assert training.trained(session)


def test_a_base_that_online_episodes_rest_on_is_never_replaced(session: SessionFolder) -> None:
    journal = Journal(session.journal, writable=True)
    journal.append(
        EpisodeCommitted(
            id="online-000000",
            kind=EpisodeKind.ONLINE,
            ordinal=0,
            steps=8,
            chunks=1,
            ending=Ending.EPISODE_LIMIT,
            policy_version=0,
        )
    )
    journal.append(Voided(episode=next(iter(journal.ledger().episodes)), by="command", reason=""))
    before = weights(session)
    with pytest.raises(training.TrainingError) as refused:
        training.train(session, reporter=SilentReporter())
    assert refused.value.exit_code is ExitCode.REFUSED
    assert weights(session) == before


def test_training_and_an_engine_exclude_each_other(session: SessionFolder) -> None:
    with WriterLock(session.lock), pytest.raises(LockedError):
        training.train(session, reporter=SilentReporter())


def test_json_progress_is_throttled_but_never_loses_the_end(tmp_path: Path) -> None:
    now, lines = [0.0], list[str]()
    told = JsonReporter(interval=1.0, clock=lambda: now[0], write=lines.append)
    for done in range(1, 101):
        now[0] += 0.1
        told.progress("base", done, 100)
    shown = [json.loads(line)["done"] for line in lines]
    assert shown[-1] == 100
    assert 8 <= len(shown) <= 13


@pytest.mark.slow
def test_a_damaged_base_is_trained_again_to_the_same_weights(session: SessionFolder) -> None:
    before = weights(session)
    file = next(session.base.glob("weights-*.safetensors"))
    file.write_bytes(file.read_bytes()[:-8])
    assert not training.trained(session)
    told = Recording()
    training.train(session, reporter=told)
    assert weights(session) == before
    assert any("trained again" in result.get("detail", "") for result in told.results)
