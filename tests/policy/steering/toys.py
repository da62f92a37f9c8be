"""A point that must be driven to a goal, and a tiny base that drives it badly: steering within seconds.

The observation is the offset to the goal in the plane, `proprioception` [B, 1, 2]; a chunk is 4 moves. The base sees a
biased offset, so it stops beside the goal; its latent is that biased offset, so a residual on the latent can mend it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.journal.journal import EpisodeStatus, Ledger
from datasets.observation import FloatArray
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import ChunkRecord
from policy.base import BasePolicy
from policy.steering.draws import normal
from policy.steering.interface import Steering, Window

SPEC = DataSpec(
    cameras=(CameraSpec(name="third", height=2, width=2),),
    proprioception=("x", "y"),
    action=ActionSpec(),
    control_hz=10.0,
)
BIAS = np.array([0.35, -0.3], np.float32)
REACH = 0.12
CHUNK, HORIZON_CHUNKS = 4, 2


class ToyBottleneck(nn.Module):
    """z = the biased offset, in two of its three dimensions; c_hat = z."""

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        return c.clone(), torch.full_like(c, -6.0)

    def decode(self, z: Tensor) -> Tensor:
        return z


class ToyBase(nn.Module):
    """embed: the biased offset and a constant; decode: equal moves of a quarter of what c_hat says."""

    dc, dz, da, prediction_horizon, hash = 3, 3, 2, CHUNK, "toy"
    device = torch.device("cpu")
    threads: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.bottleneck = ToyBottleneck()
        self.head = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(2, 3))

    def draw_crops(self, rngs: Sequence[np.random.Generator]) -> None:
        for rng in rngs:
            rng.integers(2)

    def draw_noise(self, rngs: Sequence[np.random.Generator]) -> Tensor:
        return normal(rngs, (self.prediction_horizon, self.da))

    def embed(self, window: Window, crop: object) -> Tensor:
        offset = torch.from_numpy(window.proprioception[:, -1] + BIAS)
        return torch.cat([offset, torch.ones(len(offset), 1)], dim=-1)

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.bottleneck.encode(c)

    def decode(self, c_hat: Tensor, w: Tensor) -> Tensor:
        move: Tensor = self.head(c_hat) / self.prediction_horizon
        return move[:, None, :] + 0.002 * w

    def decode_latent(self, z: Tensor, w: Tensor) -> Tensor:
        return self.decode(self.bottleneck.decode(z), w)


def toy_base() -> BasePolicy:
    """The toy under the name of what it stands in for."""
    return cast(BasePolicy, ToyBase())


@dataclass
class ToySession:
    """Rolls out a method on the point, keeps the records, and is the ledger's author."""

    method: Steering
    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    records: dict[str, ChunkRecord] = field(default_factory=dict)
    episodes: dict[str, Episode] = field(default_factory=dict)

    def rollout(self, ordinal: int, *, explore: bool = True) -> Outcome:
        """One episode; a success ends at the chunk that arrives."""
        purpose = "rollout" if explore else "evaluation"
        rng = stream(self.seed, purpose, ordinal)
        offset = stream(self.seed, f"{purpose} layout", ordinal).uniform(-1, 1, 2).astype(np.float32)
        seen, features, decisions = [offset], [], []
        outcome = Outcome.TIMEOUT
        for _ in range(HORIZON_CHUNKS):
            window = look(offset)
            features.append(self.method.features(window, [rng], explore=explore))
            decision = self.method.act(window, features[-1], [rng], explore=explore)
            decisions.append(decision.chosen)
            offset = offset - decision.actions[0].sum(0)
            seen.append(offset)
            if float(np.linalg.norm(offset)) < REACH:
                outcome = Outcome.SUCCESS
                break
        features.append(self.method.features(look(offset), [rng], explore=explore))
        if explore:
            self._keep(ordinal, seen, features, decisions, outcome)
        return outcome

    def _keep(
        self,
        ordinal: int,
        seen: list[FloatArray],
        features: list[dict[str, FloatArray]],
        decisions: list[dict[str, FloatArray]],
        outcome: Outcome,
    ) -> None:
        chunks = len(decisions)
        episode = Episode(
            header=header(ordinal),
            images={"third": np.zeros((chunks * CHUNK + 1, 2, 2, 3), np.uint8)},
            proprioception=np.repeat(np.stack(seen), CHUNK, axis=0)[: chunks * CHUNK + 1],
            observation_time=np.arange(chunks * CHUNK + 1.0),
            action=np.zeros((chunks * CHUNK, 2), np.float32),
            sent=np.zeros((chunks * CHUNK, 2), np.float32),
            command_time=np.arange(chunks * CHUNK + 0.0),
            chunk_start=np.arange(chunks) * CHUNK,
            chunk_length=np.full(chunks, CHUNK),
            features={name: np.concatenate([f[name] for f in features]) for name in features[0]},
            decisions={name: np.concatenate([d[name] for d in decisions]) for name in decisions[0]},
        )
        self.episodes[episode.header.id] = episode
        self.records[episode.header.id] = record_of(episode)
        self.ledger.episodes[episode.header.id] = status(ordinal, chunks, outcome)

    def success(self, n: int = 100) -> float:
        """Share of evaluation episodes that arrive."""
        return sum(self.rollout(i, explore=False) is Outcome.SUCCESS for i in range(n)) / n


def look(offset: FloatArray) -> Window:
    return Window(images={}, proprioception=offset[None, None, :].astype(np.float32))


def header(ordinal: int, base_hash: str = "toy") -> EpisodeHeader:
    return EpisodeHeader(
        id=f"online-{ordinal:06d}",
        kind=EpisodeKind.ONLINE,
        ordinal=ordinal,
        spec=SPEC,
        ending=Ending.OPERATOR,
        created="2026-11-20T00:00:00Z",
        base_hash=base_hash,
    )


def status(ordinal: int, chunks: int, outcome: Outcome | None) -> EpisodeStatus:
    return EpisodeStatus(
        id=f"online-{ordinal:06d}",
        kind=EpisodeKind.ONLINE,
        ordinal=ordinal,
        steps=chunks * CHUNK,
        chunks=chunks,
        ending=Ending.OPERATOR,
        policy_version=0,
        outcome=outcome,
        seq=ordinal + 1,
    )


def record_of(episode: Episode) -> ChunkRecord:
    return ChunkRecord(
        header=episode.header,
        steps=episode.steps,
        chunk_start=episode.chunk_start,
        chunk_length=episode.chunk_length,
        features=episode.features,
        decisions=episode.decisions,
    )


def drain(steps: Iterator[dict[str, float]]) -> list[dict[str, float]]:
    return list(steps)
