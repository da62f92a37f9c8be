"""What a policy on another machine can do to an episode: not answer."""

from __future__ import annotations

from datasets.errors import StationError


class RemotePolicyError(StationError):
    """The policy server cannot be used, did not answer in time, or answered nonsense; says what to do."""
