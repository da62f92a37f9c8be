"""Which checkpoint of a base is the best one: held-out loss, error of its actions and success, side by side.

Trains the base of a simulated session anew in --out, without its bottleneck, and keeps the EMA weights at some
iterations; the session itself is only read. Then each is judged on the same held-out windows and start layouts (raw
path). Repeat an interrupted command to continue it::

    station new s --seed 0; station demo --session s --prepare
    python -m tests.benchmarks.checkpoints sessions/s --out DIR [--at 500 1000 1500 2000 3000] [--episodes 100]
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.journal.journal import Journal
from datasets.randomness import stream
from datasets.spec import pose_names
from datasets.store import EpisodeStore
from datasets.windows import TrainingWindows
from policy.base import BasePolicy
from policy.flow import GRID, Prediction, draw_times
from policy.gradients import keep_freed_memory
from policy.pretrain import Pretraining
from policy.steering.unsteered import BasePath, Unsteered
from policy.training_stages import HELD_OUT_DRAWS, embed_rows, split
from station.jobs import demonstrations
from station.jobs.evaluation import LayoutSchedule, evaluate_policy
from station.reporting import SilentReporter
from station.session.folder import SessionFolder
from station.session.status import wilson


def main() -> None:
    """Train, then print one line per checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("session", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--at", type=int, nargs="+", default=[500, 1000, 1500, 2000, 3000])
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    folder = SessionFolder.open(options.session)
    every = folder.task.training.check_every
    if any(iteration % every for iteration in options.at):
        parser.error(
            f"--at: the held-out loss is measured every {every} iterations; choose multiples of that"
        )
    windows = demonstrated(folder)
    options.out.mkdir(parents=True, exist_ok=True)
    train(folder, windows, options.out, options.at)
    names = (*pose_names(folder.task.cell.spec.action.rotation), "gripper")
    print("iteration  held-out loss  success (95 %)  held-out RMS error per action, in its units:", *names)
    for iteration in options.at:
        base = BasePolicy.load(options.out / str(iteration))
        loss = (options.out / str(iteration) / "held_out").read_text()
        errors = " ".join(f"{error:.4f}" for error in action_errors(base, folder, windows))
        print(f"{iteration:9}  {loss:13}  {success(base, folder, options.episodes)}  {errors}", flush=True)
        shares = " ".join(f"{share:.4f}" for share in loss_shares(base, folder, windows))
        print(f"{'':9}  of which per action: {shares}", flush=True)


def demonstrated(folder: SessionFolder) -> TrainingWindows:
    """The windows that 'station train' uses."""
    task = folder.task
    used = demonstrations.choose(Journal(folder.journal).ledger(), task.demonstrations).used
    return TrainingWindows.from_store(
        EpisodeStore(folder.demos),
        [status.id for status in used],
        n_obs=task.policy.n_obs,
        prediction_horizon=task.policy.prediction_horizon,
    )


def train(folder: SessionFolder, windows: TrainingWindows, out: Path, at: list[int]) -> None:
    """Leave a policy in ``out/<iteration>`` for each iteration of `at`."""
    keep_freed_memory()
    task = folder.task
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = task.training.model_copy(update={"iterations": max(at), "bottleneck_iterations": 0})
    base = BasePolicy(windows.spec, task.policy, task.bottleneck, seed=folder.seed)
    pretraining = Pretraining(base, windows, settings, folder.seed, out / "training", cores=cores)
    for now in pretraining:
        if now.iteration in at and not (out / str(now.iteration) / "held_out").exists():
            kept = copy.deepcopy(pretraining.average).freeze()
            kept.save(out / str(now.iteration))
            (out / str(now.iteration) / "held_out").write_text(f"{now.held_out:.4f}")


def action_errors(base: BasePolicy, folder: SessionFolder, windows: TrainingWindows) -> NDArray[np.float64]:
    """RMS error [da] of the steps that would be executed, over held-out windows and noise."""
    _, rows = split(windows, folder.task.training.held_out, folder.seed)
    rows = np.tile(rows, HELD_OUT_DRAWS)
    shape = (len(rows), windows.prediction_horizon, windows.spec.da)
    w = torch.from_numpy(stream(0, "checkpoints").standard_normal(shape, np.float32))
    with torch.inference_mode():
        decoded = base.decode(embed_rows(base, windows, rows), w).numpy()
    wanted = windows.actions[windows.followed[rows]]
    error = (decoded - wanted)[:, : folder.task.n_action_steps].astype(np.float64)
    return np.asarray(np.sqrt((error**2).mean((0, 1))))


def loss_shares(base: BasePolicy, folder: SessionFolder, windows: TrainingWindows) -> NDArray[np.float64]:
    """The parts [da] of the held-out imitation loss, which is their sum."""
    _, rows = split(windows, folder.task.training.held_out, folder.seed)
    rows, rng = np.tile(rows, HELD_OUT_DRAWS), stream(0, "checkpoints")
    a = base.action_normalizer.normalize(torch.from_numpy(windows.actions[windows.followed[rows]]))
    w = torch.from_numpy(rng.standard_normal(a.shape, np.float32))
    k = draw_times(rng, len(rows))
    kk = k[:, None, None]
    with torch.inference_mode():
        predicted = base.flow.unet((1 - kk) * a + kk * w, GRID * k, embed_rows(base, windows, rows))
    target = w - a if base.settings.prediction is Prediction.VELOCITY else a
    error = (predicted - target).numpy().astype(np.float64)
    return np.asarray((error**2).mean((0, 1)) / windows.spec.da)


def success(base: BasePolicy, folder: SessionFolder, n: int) -> str:
    """Success on the evaluation layouts with Wilson's interval."""
    steering = Unsteered(base, BasePath.RAW, n_action_steps=folder.task.n_action_steps)
    schedule = LayoutSchedule(layouts="evaluation", seed=folder.seed, n=n)
    won = evaluate_policy(folder, steering, schedule, stage="judge", reporter=SilentReporter())
    rate = wilson(sum(won), n)
    return f"{sum(won)}/{n} [{rate.low:.2f}, {rate.high:.2f}]"


if __name__ == "__main__":
    main()
