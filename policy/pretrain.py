"""Offline training as a loop that can be killed at any point and resumes with an identical result.

It runs the stages of policy/training_stages.py, keeps an exponential moving average (EMA) of the weights, writes
checkpoints and the loss curve, and finally saves the policy. It measures no success rate: that needs a cell.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from datasets.durable import Disk, full_disk_named
from datasets.errors import StationError
from datasets.own_files import make_folder, open_own, read_bytes
from datasets.plain_text import from_json
from datasets.windows import TrainingWindows
from policy import weights
from policy.base import BasePolicy
from policy.gradients import Gradients, gradients
from policy.loading import batches
from policy.processes import ALONE, Processes
from policy.training_stages import (
    BaseTraining,
    BottleneckTraining,
    Stage,
    StageTraining,
    TrainingSettings,
)

__all__ = ["Pretraining", "PretrainingError", "Stage", "StageReport", "TrainingProgress", "TrainingSettings"]

CURVE_FILE = "curve.jsonl"
REPORT_FILE = "training.json"
BETAS = (0.95, 0.999)
NO_OTHER_RUN = {"parts", "bfloat16"}
"""Settings that may change within a run: they decide how fast it is, and the weights' last bits."""


class PretrainingError(StationError):
    """Training cannot start or continue; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """Result of one stage."""

    stage: Stage
    iterations: int
    held_out: dict[str, float]
    """Final held-out losses; ``imitation`` is for the raw path, ``flow`` for the bottleneck path."""
    converged: bool
    """Bottleneck stage only: whether it stopped because it converged, before its iteration limit."""


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Progress of training."""

    stage: Stage
    iteration: int
    """Iterations done in this stage."""
    total: int
    """Upper limit of iterations in this stage."""
    loss: float
    """Mean loss since the last report."""
    terms: dict[str, float] = field(default_factory=dict)
    """Terms of the loss by name."""
    held_out: float | None = None
    """Latest held-out loss of this stage."""
    rate: float = 0.0
    """Iterations per second since this process started the stage."""
    eta: float | None = None
    """Upper bound on the time left in this stage, s."""
    preparing: float | None = None
    """Fraction of the embeddings cached so far, before the bottleneck stage starts."""
    finished: bool = False
    """Whether the policy is trained and saved."""


def read_report(path: Path) -> tuple[str, list[StageReport]]:
    """The fingerprint and the stages of a finished training. Raises ValueError: damaged. OSError."""
    try:
        facts = from_json(read_bytes(path))
        return str(facts["fingerprint"]), [_report_from(item) for item in facts["stages"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


class Pretraining:
    """Trains `base` in place; iterate over it to train, stop iterating to interrupt.

    After the last `TrainingProgress` (``finished``), `base` holds the EMA weights, is frozen, and is saved in the
    folder. Call `save` between any two reports to keep all progress.
    """

    def __init__(
        self,
        base: BasePolicy,
        windows: TrainingWindows,
        settings: TrainingSettings,
        seed: int,
        folder: Path,
        *,
        cores: int = 1,
        processes: Processes = ALONE,
    ) -> None:
        """Start training, or resume the same run from `folder`, on so many CPU `cores` at once.

        Each of several `processes` makes one of these, of the same arguments; the first one writes the folder.

        Raises:
            PretrainingError: the windows do not fit the policy, or the folder holds a different run.
        """
        _check_fit(base, windows)
        self.base = base
        self.windows = windows
        self.settings = settings
        self.seed = seed
        self.folder = folder
        self.cores = cores
        self.processes = processes
        self.reports: list[StageReport] = []
        """Reports of the finished stages."""
        self.warnings: tuple[str, ...] = ()
        """Problems found in the folder and how they were handled."""
        self._stages: list[type[StageTraining]] = [BaseTraining]
        if settings.bottleneck_iterations:
            self._stages.append(BottleneckTraining)
        base.fit_normalizers(windows)
        self._average = copy.deepcopy(base).requires_grad_(requires_grad=False)
        self._iteration = 0
        self._checks: list[float] = []
        self._curve: list[str] = []
        self._optimizer: AdamW | None = None
        # a GPU takes the batch as a whole; a run that has begun keeps its number
        self._parts = settings.parts if base.device.type == "cpu" else 1
        self._moments: dict[str, Tensor] = {}  # optimizer state from a checkpoint, until its stage starts
        self._fingerprint = self._identify()
        self.finished = self._take_up()
        self._agree()

    def __iter__(self) -> Iterator[TrainingProgress]:
        """Train until finished, reporting every `report_every` iterations."""
        while not self.finished:
            kind = self._stages[len(self.reports)]
            stage = kind(self.base, self._average, self.windows, self.settings, self.seed)
            self.base.requires_grad_(requires_grad=False)
            for weight in stage.trained(self.base):
                weight.requires_grad_()
            for share in stage.prepare():
                yield self._progress(stage, {}, time.monotonic(), self._iteration, preparing=share)
            with gradients(stage, self._parts, self.cores, self.processes) as gradient:
                yield from self._run(stage, gradient)
            self._end(stage)
        last = self.reports[-1]
        yield TrainingProgress(
            stage=last.stage,
            iteration=last.iterations,
            total=last.iterations,
            loss=last.held_out["total"],
            terms=last.held_out,
            held_out=last.held_out["total"],
            eta=0.0,
            finished=True,
        )

    @property
    def average(self) -> BasePolicy:
        """The EMA weights so far, which the next step changes."""
        return self._average

    def save(self) -> None:
        """Write a checkpoint of the current state. Raises DiskFullError; the previous checkpoint stays."""
        if self.processes.leads:
            self._save()
        self.processes.meet()

    def _save(self) -> None:
        tensors = {f"model.{name}": value for name, value in self.base.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self._average.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self._optimizer_state().items()}
        facts = {
            "fingerprint": self._fingerprint,
            "iteration": self._iteration,
            "checks": self._checks,
            "curve": len(self._curve),
            "parts": self._parts,
            "reports": [_report_json(report) for report in self.reports],
        }
        weights.write_numbered(self.folder, self._ordinal(), tensors, facts)

    def _run(self, stage: StageTraining, gradient: Gradients) -> Iterator[TrainingProgress]:
        optimizer = self._prepare_optimizer(stage)
        sums: dict[str, Tensor] = {}
        begun, first = time.monotonic(), self._iteration
        loaded = batches(stage, first, self.processes.rows(stage.batch), self.base.device)
        while self._iteration < stage.total and not stage.converged(self._checks):
            self._step(stage, gradient(next(loaded)), optimizer, sums)
            ends = self._iteration == stage.total
            if self._iteration % self.settings.check_every == 0 or ends:
                self._checks.append(self.processes.from_first(lambda: stage.held_out()["total"]))
            if self._iteration % self.settings.report_every == 0 or ends:
                yield self._report(stage, sums, begun, first)
                sums.clear()
            if self._iteration % self.settings.checkpoint_every == 0:
                self.save()

    def _step(
        self, stage: StageTraining, terms: dict[str, Tensor], optimizer: AdamW, sums: dict[str, Tensor]
    ) -> None:
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(self._iteration)
        optimizer.step()
        decay = min(self.settings.ema_max, 1.0 - (1.0 + self._iteration) ** -self.settings.ema_power)
        with torch.no_grad():
            means: list[Tensor] = [*stage.trained(self._average)]
            torch._foreach_lerp_(means, [*stage.trained(self.base)], 1.0 - decay)
        for name, value in terms.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value
        self._iteration += 1

    def _report(
        self, stage: StageTraining, sums: dict[str, Tensor], begun: float, first: int
    ) -> TrainingProgress:
        since = (self._iteration - 1) % self.settings.report_every + 1
        totals = self.processes.sums([float(value) for value in sums.values()])
        terms = {name: total / since for name, total in zip(sums, totals, strict=True)}
        if not all(abs(value) < float("inf") for value in terms.values()):
            raise PretrainingError(
                f"The {stage.stage} loss is no longer a number at iteration {self._iteration}. "
                "Lower the learning rate in the task file and train into a new folder."
            )
        progress = self._progress(stage, terms, begun, first)
        checked = self._iteration % self.settings.check_every == 0 or self._iteration == stage.total
        line = {"stage": stage.stage, "iteration": self._iteration, **terms}
        if checked:
            line["held_out"] = self._checks[-1]
        self._curve.append(json.dumps(line))
        if not self.processes.leads:
            return progress
        with full_disk_named("loss curve", self.folder), open_own(self._curve_path(), "ab") as file:
            file.write(f"{self._curve[-1]}\n".encode())
        return progress

    def _progress(
        self,
        stage: StageTraining,
        terms: dict[str, float],
        begun: float,
        first: int,
        preparing: float | None = None,
    ) -> TrainingProgress:
        spent = max(time.monotonic() - begun, 1e-9)
        rate = (self._iteration - first) / spent
        return TrainingProgress(
            stage=stage.stage,
            iteration=self._iteration,
            total=stage.total,
            loss=terms.get("total", 0.0),
            terms=terms,
            held_out=self._checks[-1] if self._checks else None,
            rate=rate,
            eta=(stage.total - self._iteration) / rate if rate else None,
            preparing=preparing,
        )

    def _end(self, stage: StageTraining) -> None:
        """Load the EMA weights into the base, then checkpoint for the next stage or finish."""
        report = StageReport(
            stage=stage.stage,
            iterations=self._iteration,
            held_out=self.processes.from_first(stage.held_out),
            converged=stage.converged(self._checks),
        )
        self.reports.append(report)
        self.base.load_state_dict(self._average.state_dict())
        self._iteration, self._checks, self._optimizer = 0, [], None
        if len(self.reports) == len(self._stages):
            self._finish()
        else:
            self.save()

    def _finish(self) -> None:
        self.base.freeze()
        if self.processes.leads:
            self._write_result()
        self.finished = True

    def _write_result(self) -> None:
        self.base.save(self.folder)
        facts = {
            "fingerprint": self._fingerprint,
            "hash": self.base.hash,
            "stages": [_report_json(report) for report in self.reports],
        }
        with full_disk_named("training report", self.folder):
            Disk().replace(self.folder / REPORT_FILE, json.dumps(facts, indent=1).encode())
        for state in weights.numbered(self.folder):
            state.unlink(missing_ok=True)

    def _take_up(self) -> bool:
        """Resume from the folder; True if it already holds the finished policy."""
        if self.processes.leads:
            make_folder(self.folder, parents=False)
        report_path = self.folder / REPORT_FILE
        if report_path.exists():
            try:
                fingerprint, self.reports = read_report(report_path)
            except (OSError, ValueError) as error:
                raise PretrainingError(
                    f"{report_path} is damaged ({error}). Restore it from a copy; or let 'station verify' move it "
                    "away, and 'station train' trains the base again."
                ) from error
            self._check_same(fingerprint)
            self.base.load_state_dict(BasePolicy.load(self.folder).state_dict())
            self.base.freeze()
            return True
        loaded = weights.read_newest(self.folder)
        if loaded is not None:
            self._check_same(loaded.facts["fingerprint"])
            self._restore(loaded)
        elif weights.numbered(self.folder):
            self.warnings = (
                "No checkpoint of the base policy is readable; training starts from the beginning.",
            )
        if self.processes.leads:
            self._take_up_curve(loaded.facts["curve"] if loaded else 0)
        return False

    def _take_up_curve(self, kept: int) -> None:
        path = self._curve_path()
        lines = read_bytes(path).decode(errors="replace").splitlines() if path.exists() else []
        self._curve = lines[:kept]
        Disk().replace(path, "".join(f"{line}\n" for line in self._curve).encode())

    def _agree(self) -> None:
        """Raise PretrainingError unless all processes are about to do the same. Ends the wait for the slowest."""
        mine = [self._fingerprint, self._ordinal(), self.finished]
        if self.processes.from_first(lambda: mine) != mine:
            raise PretrainingError(
                f"Process {self.processes.rank} of this training reads other demonstrations, another task or another "
                f"checkpoint in {self.folder} than the first one. Give all computers the same session folder."
            )
        self._check_rows()
        self.processes.meet()

    def _check_rows(self) -> None:
        least = min(self.settings.batch, self.settings.bottleneck_batch)
        if self.processes.count > least:
            raise PretrainingError(
                f"{self.processes.count} processes cannot share batches of {least} windows. Start fewer of them, or "
                "raise batch and bottleneck_batch in [training] of the task file."
            )

    def _restore(self, loaded: weights.Loaded) -> None:
        self.warnings = loaded.refused
        self.base.load_state_dict(_under("model.", loaded.tensors))
        self._average.load_state_dict(_under("average.", loaded.tensors))
        self._iteration = loaded.facts["iteration"]
        self._checks = loaded.facts["checks"]
        if self.base.device.type == "cpu":
            self._parts = loaded.facts.get("parts", 1)
        self.reports = [_report_from(item) for item in loaded.facts["reports"]]
        self._moments = _under("optimizer.", loaded.tensors)

    def _prepare_optimizer(self, stage: StageTraining) -> AdamW:
        optimizer = AdamW(
            stage.trained(self.base),
            lr=stage.rate(0),
            betas=BETAS,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        if self._moments:
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in self._moments.items():
                index, name = key.split(".", 1)
                state.setdefault(int(index), {})[name] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self._moments = {}
        self._optimizer = optimizer
        return optimizer

    def _optimizer_state(self) -> dict[str, Tensor]:
        if self._optimizer is None:
            return self._moments
        state: dict[int, dict[str, Tensor]] = self._optimizer.state_dict()["state"]
        return {
            f"{index}.{name}": value for index, moments in state.items() for name, value in moments.items()
        }

    def _check_same(self, fingerprint: str) -> None:
        if fingerprint != self._fingerprint:
            raise PretrainingError(
                f"{self.folder} holds a policy trained with other settings, another seed or other demonstrations. "
                "Train into a new folder, or delete this one to start over."
            )

    def _identify(self) -> str:
        sha = hashlib.sha256(self.settings.model_dump_json(exclude=NO_OTHER_RUN).encode())
        sha.update(self.base.hash.encode())
        sha.update(str(self.seed).encode())
        for array in (self.windows.actions, self.windows.proprioception, self.windows.episode):
            sha.update(array.tobytes())
        return sha.hexdigest()

    def _ordinal(self) -> int:
        return sum(report.iterations for report in self.reports) + self._iteration

    def _curve_path(self) -> Path:
        return self.folder / CURVE_FILE


def _check_fit(base: BasePolicy, windows: TrainingWindows) -> None:
    if windows.spec != base.spec:
        raise PretrainingError("The demonstrations were recorded under another spec than the policy's task.")
    if (windows.n_obs, windows.prediction_horizon) != (base.settings.n_obs, base.prediction_horizon):
        raise PretrainingError(
            f"Windows of {windows.n_obs} observations and {windows.prediction_horizon} steps do not fit a policy of "
            f"{base.settings.n_obs} and {base.prediction_horizon}. Build them from the policy's settings."
        )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _report_json(report: StageReport) -> dict[str, Any]:
    return {
        "stage": report.stage.value,
        "iterations": report.iterations,
        "held_out": report.held_out,
        "converged": report.converged,
    }


def _report_from(data: dict[str, Any]) -> StageReport:
    return StageReport(**{**data, "stage": Stage(data["stage"])})
