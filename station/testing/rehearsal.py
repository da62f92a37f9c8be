"""A tiny session without a cell: an untrained base that sees images, and episodes of noise with made-up labels.

For the check of steering methods: it shows whether a method keeps its contract, not whether it learns anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.journal.journal import EpisodeStatus, Ledger
from datasets.observation import FloatArray
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import ChunkRecord
from policy.base import BasePolicy, PolicySettings
from policy.bottleneck import BottleneckSettings
from policy.encoder import EncoderKind
from policy.replay import ReplayBuffer
from policy.steering.interface import Steering, Window
from station.testing.contract import Contract

SPEC = DataSpec(
    cameras=(CameraSpec(name="third", height=24, width=28),),
    proprioception=("joint_1", "gripper"),
    action=ActionSpec(),
    control_hz=10.0,
)
_POLICY = PolicySettings(
    n_obs=2,
    prediction_horizon=8,
    encoder=EncoderKind.SMALL,
    embedding=16,
    crops={"third": (20, 24)},
    small_channels=(8,),
    small_strides=(2,),
    widths=(16, 32),
)
_CHUNKS = 3
_OUTCOMES = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT)

Build = Callable[[BasePolicy, int], Steering]


def tiny_base() -> BasePolicy:
    """Frozen, with random weights."""
    return BasePolicy(SPEC, _POLICY, BottleneckSettings(dz=4, hidden=16), seed=1).freeze()


class Rehearsal:
    """A method, its base, and the replay of the episodes that it acted in."""

    def __init__(self, build: Build, seed: int) -> None:
        """`build` makes the method for a base and a seed."""
        self.base = tiny_base()
        self._build, self._seed = build, seed
        self.method = build(self.base, seed)
        self._ledger = Ledger()
        self._episodes: dict[str, Episode] = {}
        self.replay = ReplayBuffer.for_method(
            self.method, base_hash=self.base.hash, observations=self._episodes.__getitem__
        )

    def another(self, *, seed: int) -> Steering:
        """The same method, not yet learnt, on the same base."""
        return self._build(self.base, seed)

    def weights(self) -> str:
        """A digest of the base's weights as they are now."""
        return "".join(
            f"{name} {tensor.double().sum().item()!r} {tensor.double().square().sum().item()!r}\n"
            for name, tensor in self.base.state_dict().items()
        )

    def window(self, rows: int, order: Sequence[int] | None = None) -> Window:
        """Observations of `rows` cells; row b shows what ordinal order[b] always shows (default: b)."""
        shown = [self._look(ordinal, step=0) for ordinal in (order or range(rows))]
        return _batch(shown)

    def episodes(self, count: int) -> list[str]:
        """Ids of `count` more labelled episodes, in the replay from here on."""
        first = len(self._episodes)
        for ordinal in range(first, first + count):
            episode = self._episode(ordinal)
            self._episodes[episode.header.id] = episode
            self._ledger.episodes[episode.header.id] = _status(episode, _OUTCOMES[ordinal % len(_OUTCOMES)])
        self.replay.sync(self._ledger, lambda name: _record(self._episodes[name]))
        return list(self._episodes)[first:]

    @contextmanager
    def global_state(self, contract: Contract) -> Iterator[None]:
        """Require that nothing draws from the random state of torch or numpy in this block."""
        before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
        yield
        after = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
        contract.require(
            torch.equal(before[0], after[0]) and np.array_equal(before[1], after[1]),
            "it draws from a global random state; draw from the streams it is given",
        )

    def _look(self, ordinal: int, step: int) -> Window:
        rng = stream(self._seed, f"rehearsal {ordinal}", step)
        images = {
            camera.name: rng.integers(0, 255, (1, _POLICY.n_obs, camera.height, camera.width, 3), np.uint8)
            for camera in SPEC.cameras
        }
        return Window(
            images=images,
            proprioception=rng.standard_normal((1, _POLICY.n_obs, SPEC.proprioception_dim), dtype=np.float32),
        )

    def _episode(self, ordinal: int) -> Episode:
        rng = [stream(self._seed, "rehearsal rollout", ordinal)]
        n_action_steps, features, decisions, actions, seen = self.method.n_action_steps, [], [], [], []
        for chunk in range(_CHUNKS + 1):
            window = self._look(ordinal, step=chunk)
            seen.append(window)
            features.append(self.method.features(window, rng, explore=True))
            if chunk < _CHUNKS:
                decision = self.method.act(window, features[-1], rng, explore=True)
                decisions.append(decision.chosen)
                actions.append(decision.actions[0])
        steps = _CHUNKS * n_action_steps
        return Episode(
            header=EpisodeHeader(
                id=f"online-{ordinal:06d}",
                kind=EpisodeKind.ONLINE,
                ordinal=ordinal,
                spec=SPEC,
                ending=Ending.OPERATOR,
                created="2026-01-01T00:00:00Z",
                method=self.method.name,
                base_hash=self.base.hash,
            ),
            images={
                name: np.repeat(
                    _last(images for images in (w.images[name] for w in seen)), n_action_steps, 0
                )[: steps + 1]
                for name in seen[0].images
            },
            proprioception=np.repeat(_last(w.proprioception for w in seen), n_action_steps, 0)[: steps + 1],
            observation_time=SPEC.dt * np.arange(steps + 1.0),
            action=np.concatenate(actions),
            sent=np.concatenate(actions),
            command_time=SPEC.dt * np.arange(steps + 0.0),
            chunk_start=np.arange(_CHUNKS) * n_action_steps,
            chunk_length=np.full(_CHUNKS, n_action_steps),
            features=_stacked(features, self.method.record.features),
            decisions=_stacked(decisions, self.method.record.decisions),
        )


def _last(values: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([value[:, -1] for value in values])


def _stacked(rows: list[dict[str, FloatArray]], names: dict[str, tuple[int, ...]]) -> dict[str, FloatArray]:
    return {name: np.concatenate([row[name] for row in rows]) for name in names}


def _batch(windows: list[Window]) -> Window:
    return Window(
        images={name: np.concatenate([w.images[name] for w in windows]) for name in windows[0].images},
        proprioception=np.concatenate([w.proprioception for w in windows]),
    )


def _record(episode: Episode) -> ChunkRecord:
    return ChunkRecord(
        header=episode.header,
        steps=episode.steps,
        chunk_start=episode.chunk_start,
        chunk_length=episode.chunk_length,
        features=episode.features,
        decisions=episode.decisions,
    )


def _status(episode: Episode, outcome: Outcome) -> EpisodeStatus:
    header = episode.header
    return EpisodeStatus(
        id=header.id,
        kind=header.kind,
        ordinal=header.ordinal,
        steps=episode.steps,
        chunks=len(episode.chunk_start),
        ending=header.ending,
        policy_version=0,
        outcome=outcome,
        seq=header.ordinal + 1,
    )
