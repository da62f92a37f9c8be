"""From a session's demonstrations to a frozen base with a measured success rate.

Chooses the demonstrations, trains the base and its bottleneck, saves them under ``base/``, judges both paths
(mean latent, raw embedding) on the evaluation layouts and journals the result. Every stage that
the journal says is done is skipped, and an interrupted one resumes from its checkpoint, so running it again is
always safe. The learning itself is in `policy.pretrain`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.durable import Disk
from datasets.episode import EpisodeKind
from datasets.errors import ExitCode, StationError
from datasets.journal.journal import EpisodeStatus, Journal, Ledger
from datasets.journal.records import BaseEvaluated, BaseTrained
from datasets.own_files import make_folder, read_bytes, remove, require_folder
from datasets.store import EpisodeStore
from station.compute import AUTO
from station.interruption import deferred, interruption
from station.jobs import demonstrations
from station.reporting import Reporter, SilentReporter
from station.session.snapshot import Rate

if TYPE_CHECKING:
    import torch

    from policy.pretrain import Pretraining
    from policy.processes import Processes
    from station.session.folder import SessionFolder

PATHS = ("latent", "raw")
"""Mean latent through the bottleneck, where steering starts; and the raw embedding."""


class TrainingError(StationError):
    """There is nothing to train on, or the session already has online episodes."""


@dataclass(frozen=True)
class Computer:
    """What computes: the device, how many CPU cores at once, and of how many processes this is one."""

    device: torch.device
    cores: int
    processes: Processes


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """The result; also written as ``base/report.json``."""

    base_hash: str
    demos: int
    stages: list[dict[str, Any]]
    """Per stage: gradient steps, whether it converged, last held-out losses."""
    seconds: float
    """Training only, without the evaluation."""
    paths: dict[str, Rate]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def train(
    folder: SessionFolder,
    *,
    reporter: Reporter,
    device: str = AUTO,
    unlabelled: bool | None = None,
    processes: Processes | None = None,
) -> TrainingReport:
    """Train and judge the base of `folder`; skips what is already done.

    `device`: as `policy.devices.choose` takes it.
    `unlabelled`: also use unlabelled demonstrations, or only successes; None: as before.
    `processes`: of which this is the first; the others call `assist`.

    Raises:
        TrainingError: no usable demonstrations, or online episodes hold features of an older base.
        LockedError: an engine or another command works on the session.
        DeviceError: the device cannot be used.
    """
    from policy.processes import ALONE

    processes = processes or ALONE
    on = processes.device(device)
    with folder.writing(), _threads(folder.task.training.threads) as cores:
        journal = Journal(folder.journal, writable=True)
        settings = folder.task.demonstrations
        demonstrations.remember_unlabelled(journal, settings, unlabelled)
        ledger = journal.ledger()
        chosen = demonstrations.choose(ledger, settings)
        demos = chosen.used
        if not demos:
            raise TrainingError(demonstrations.nothing_in_words(folder.path, chosen))
        reporter.event("demonstrations", used=len(demos), words=demonstrations.in_words(chosen))
        reporter.event("device", device=str(on.device), words=on.words)
        if _untrained(folder, ledger, demos, reporter):
            _train_base(folder, journal, demos, reporter, Computer(on.device, cores, processes))
        else:
            processes.from_first(list)
        for path in _judged_paths(folder):
            _judge(folder, journal, path, reporter, on.device)
        return _write_report(folder, journal.ledger())


def assist(folder: SessionFolder, processes: Processes, *, device: str = AUTO) -> None:
    """What every process but the first one does: its rows of each batch, of the demonstrations that the first chooses.

    Raises:
        ProcessLostError: another process ended. DeviceError: the device cannot be used.
    """
    on = processes.device(device)
    with _threads(folder.task.training.threads) as cores:
        if chosen := processes.from_first(list[str]):
            computer = Computer(on.device, cores, processes)
            _work(_pretraining(folder, chosen, computer), SilentReporter(), processes)


@contextmanager
def _threads(number: int) -> Iterator[int]:
    """Set torch's threads per operation; yields how many such operations fit on the cores that torch was to use.

    These are all of the machine's, unless the process is confined to some or OMP_NUM_THREADS says how many.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield max(1, before // number)
    finally:
        torch.set_num_threads(before)


def trained(folder: SessionFolder) -> bool:
    """Whether the base is trained on the current demonstrations, and its paths are judged where possible."""
    ledger = Journal(folder.journal).ledger()
    demos = demonstrations.choose(ledger, folder.task.demonstrations).used
    judged = all(verdict(ledger, path) is not None for path in _judged_paths(folder))
    return judged and _trained_on(ledger, demos) and _base_stands(folder, ledger)


def verdict(ledger: Ledger, path: str) -> Rate | None:
    """Success of one path of the newest base, None until judged."""
    from station.session.status import wilson

    training = ledger.last_of(BaseTrained)
    lines = reversed(ledger.lines_of(BaseEvaluated))
    judged = next((line for line in lines if line.record.path == path), None)
    if training is None or judged is None or judged.seq < training.seq:
        return None
    return wilson(sum(judged.record.outcomes), judged.record.n)


def _fingerprint(demos: Sequence[EpisodeStatus]) -> str:
    return hashlib.sha256("\n".join(status.id for status in demos).encode()).hexdigest()[:16]


def _trained_on(ledger: Ledger, demos: Sequence[EpisodeStatus]) -> bool:
    newest = ledger.last_of(BaseTrained)
    return newest is not None and newest.record.demos == _fingerprint(demos)


def _base_stands(folder: SessionFolder, ledger: Ledger) -> bool:
    """Whether the policy named in the journal is still readable."""
    from policy.base import BasePolicy, PolicyFileError

    newest = ledger.last_of(BaseTrained)
    try:
        return newest is not None and bool(BasePolicy.load(folder.base).hash == newest.record.base_hash)
    except PolicyFileError:
        return False


def _untrained(
    folder: SessionFolder, ledger: Ledger, demos: Sequence[EpisodeStatus], reporter: Reporter
) -> bool:
    """Whether the base is to be trained, after clearing a damaged one away."""
    if not _trained_on(ledger, demos):
        _refuse_if_online(folder, ledger)
        return True
    if _base_stands(folder, ledger):
        return False
    reporter.event(
        "finding",
        usable=False,
        file=str(folder.base),
        detail="the base is damaged, or gone; it is trained again",
    )
    clear_base(folder.base)
    return True


def _refuse_if_online(folder: SessionFolder, ledger: Ledger) -> None:
    if any(status.kind is not EpisodeKind.DEMO for status in ledger.episodes.values()):
        raise TrainingError(
            f"{folder.path} already has online episodes, and they hold features of its base. "
            "Import the new demonstrations into a new session ('station new') and train there.",
            exit_code=ExitCode.REFUSED,
        )


def _train_base(
    folder: SessionFolder,
    journal: Journal,
    demos: Sequence[EpisodeStatus],
    reporter: Reporter,
    computer: Computer,
) -> None:
    """Train the base and its bottleneck, from the last checkpoint if it used the same demonstrations."""
    began = time.monotonic()
    _clear_if_other(folder.base, _fingerprint(demos))
    chosen = computer.processes.from_first(lambda: [status.id for status in demos])
    pretraining = _pretraining(folder, chosen, computer)
    _work(pretraining, reporter, computer.processes)
    journal.append(
        BaseTrained(
            demos=_fingerprint(demos),
            episodes=len(demos),
            stages=[
                {
                    "stage": done.stage.value,
                    "iterations": done.iterations,
                    "converged": done.converged,
                    **done.held_out,
                }
                for done in pretraining.reports
            ],
            base_hash=pretraining.base.hash,
            seconds=round(time.monotonic() - began, 1),
            device=str(computer.device),
        )
    )


def _pretraining(folder: SessionFolder, demos: Sequence[str], computer: Computer) -> Pretraining:
    """The training of a base on these demonstrations, wherever it was left."""
    from datasets.windows import TrainingWindows
    from policy.base import BasePolicy
    from policy.gradients import keep_freed_memory
    from policy.pretrain import Pretraining

    keep_freed_memory()
    task = folder.task
    windows = TrainingWindows.from_store(
        EpisodeStore(folder.demos),
        demos,
        n_obs=task.policy.n_obs,
        prediction_horizon=task.policy.prediction_horizon,
        folder=folder.path,
    )
    base = BasePolicy(windows.spec, task.policy, task.bottleneck, seed=folder.seed).to(computer.device)
    return Pretraining(
        base,
        windows,
        task.training,
        folder.seed,
        folder.base,
        cores=computer.cores,
        processes=computer.processes,
    )


def _work(pretraining: Pretraining, reporter: Reporter, processes: Processes) -> None:
    """Run the loop; an interruption takes effect after a gradient step and leaves a checkpoint."""
    for warning in pretraining.warnings:
        reporter.event("finding", usable=True, file=str(pretraining.folder), detail=warning)
    with deferred() as interrupted:
        for now in pretraining:
            if now.preparing is not None:
                reporter.progress("embeddings", round(100 * now.preparing), 100)
            else:
                figures = {"eta": now.eta, "loss": now.loss, "held_out": now.held_out}
                reporter.progress(now.stage.value, now.iteration, now.total, **figures)
            number = processes.largest(interrupted() or 0)
            if number and not now.finished:
                pretraining.save()
                raise interruption(number)


def _clear_if_other(path: Path, fingerprint: str) -> None:
    """Discard a base trained, fully or partly, on other demonstrations."""
    mark = path / "demos"
    make_folder(path, parents=False)
    if any(path.iterdir()) and (not mark.exists() or read_bytes(mark) != fingerprint.encode()):
        clear_base(path)
    Disk().replace(mark, fingerprint.encode())


def clear_base(path: Path) -> None:
    """Discard what training wrote to its folder; a person's files there stay."""
    from policy.base import POLICY_FILE
    from policy.pretrain import CURVE_FILE, REPORT_FILE

    require_folder(path)
    files = ("demos", POLICY_FILE, REPORT_FILE, CURVE_FILE, "report.json")
    for pattern in (*files, "weights-*.safetensors", "state-*.safetensors", "*.partial", ".*.partial"):
        for file in path.glob(pattern):
            remove(file)


def _judged_paths(folder: SessionFolder) -> tuple[str, ...]:
    """The paths judged here; a real cell has no simulator to judge by, so its first evaluation block does."""
    return PATHS if folder.task.cell.kind == "simulated" else ()


def _judge(
    folder: SessionFolder, journal: Journal, path: str, reporter: Reporter, device: torch.device
) -> None:
    """Success of one path on the evaluation layouts, measured once."""
    from station.jobs.evaluation import LayoutSchedule, evaluate_base

    if verdict(journal.ledger(), path) is None:
        schedule = LayoutSchedule(
            layouts="evaluation", seed=folder.seed, n=folder.task.session.base_evaluation_episodes
        )
        outcomes = evaluate_base(folder, path, schedule, reporter=reporter, device=device)
        journal.append(
            BaseEvaluated(path=path, layouts=schedule.layouts, n=len(outcomes), outcomes=[*outcomes])
        )
    known = verdict(journal.ledger(), path)
    if known is not None:
        reporter.event(
            "result", path=path, successes=known.successes, n=known.n, low=known.low, high=known.high
        )


def _write_report(folder: SessionFolder, ledger: Ledger) -> TrainingReport:
    training = ledger.lines_of(BaseTrained)[-1].record
    report = TrainingReport(
        base_hash=training.base_hash,
        demos=training.episodes,
        stages=training.stages,
        seconds=training.seconds,
        paths={path: rate for path in PATHS if (rate := verdict(ledger, path)) is not None},
    )
    Disk().replace(folder.base / "report.json", (json.dumps(report.to_json(), indent=1) + "\n").encode())
    return report
