"""Gradient steps of one learner, ours or a peer's, for `peers.py`: ``peer_update.py ours|sbx|sb3 N THREADS``.

For each line on standard input, which says for how many seconds, it steps that long and answers with JSON: steps, wall
seconds, processor seconds. Before the first one it has compiled and warmed up. All in the paper's sizes: states of 537
numbers, actions of 16, batches of 256 drawn from a buffer, three hidden layers of 256. Runs in the peers' environment.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

STATE, ACTION, BATCH, HIDDEN, ROWS = 537, 16, 256, [256, 256, 256], 4096
STEPS = 4


def ours(n: int) -> tuple[Callable[[], object], str]:
    """As `policy.steering.zprl` steps, with the rows in one place."""
    import torch

    from policy.sac import SAC, SACBatch
    from policy.steering.zprl import ZPRLSettings

    rng = np.random.default_rng(0)
    settings = ZPRLSettings(n_critics=n, batch=BATCH)
    sac = SAC(settings, state_size=STATE, context_size=STATE, action_size=ACTION, rng=rng)
    states, following = (torch.randn(ROWS, STATE) for _ in range(2))
    steered, reward, discount = torch.randn(ROWS, ACTION), torch.zeros(ROWS), torch.full((ROWS,), 0.9)

    def steps() -> None:
        for _ in range(STEPS):
            rows = torch.from_numpy(rng.integers(ROWS, size=BATCH))
            state, then = states[rows], following[rows]
            batch = SACBatch(
                state=state,
                context=state,
                steered=steered[rows],
                origin=state[:, -ACTION:],
                next_state=then,
                next_context=then,
                next_origin=then[:, -ACTION:],
                reward=reward[rows],
                discount=discount[rows],
            )
            sac.update(batch, rng)

    return steps, f"torch {torch.__version__}"


def sbx(n: int) -> tuple[Callable[[], object], str]:
    """sbx-rl: SAC in JAX, the actor every second step."""
    module, linen = importlib.import_module("sbx"), importlib.import_module("flax.linen")
    jax = importlib.import_module("jax")
    policy = {"net_arch": HIDDEN, "n_critics": n, "activation_fn": linen.gelu}
    model = module.SAC("MlpPolicy", _environment(), policy_kwargs=policy, policy_delay=2, **_common())
    return _filled(model), f"sbx-rl {module.__version__}, jax {jax.__version__}"


def sb3(n: int) -> tuple[Callable[[], object], str]:
    """Stable-Baselines3, which has no delay of the actor: it steps the actor every time."""
    module, torch = importlib.import_module("stable_baselines3"), importlib.import_module("torch")
    policy = {"net_arch": HIDDEN, "n_critics": n, "activation_fn": torch.nn.GELU}
    options = {**_common(), "device": "cpu", "target_update_interval": 2}
    model = module.SAC("MlpPolicy", _environment(), policy_kwargs=policy, **options)
    return _filled(model), f"stable-baselines3 {module.__version__}, torch {torch.__version__}"


def _common() -> dict[str, Any]:
    return {"batch_size": BATCH, "buffer_size": ROWS, "seed": 0}


def _environment() -> Any:
    gymnasium = importlib.import_module("gymnasium")

    class Still(gymnasium.Env):  # type: ignore[misc, name-defined]
        observation_space = gymnasium.spaces.Box(-10.0, 10.0, (STATE,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION,), np.float32)

    return Still()


def _filled(model: Any) -> Callable[[], object]:
    logger = importlib.import_module("stable_baselines3.common.logger")
    model.set_logger(logger.Logger(None, []))
    rng = np.random.default_rng(0)
    for _ in range(ROWS):
        now, then = (rng.standard_normal((1, STATE)).astype(np.float32) for _ in range(2))
        action, zero = rng.uniform(-1, 1, (1, ACTION)).astype(np.float32), np.zeros(1, np.float32)
        model.replay_buffer.add(now, then, action, zero, zero, [{}])
    return lambda: model.train(gradient_steps=STEPS, batch_size=BATCH)


def main(who: str, n: int, threads: int) -> None:
    """Answer until standard input ends."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # before JAX counts the cores
    import torch

    torch.set_num_threads(threads)
    steps, versions = {"ours": ours, "sbx": sbx, "sb3": sb3}[who](n)
    for _ in range(2):
        steps()
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        began, worked, count = time.perf_counter(), time.process_time(), 0
        while not count or time.perf_counter() - began < float(line):
            steps()
            count += STEPS
        spent = time.perf_counter() - began, time.process_time() - worked
        print(json.dumps([count, *spent]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
