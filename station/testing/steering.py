"""The check of a steering method, on a tiny untrained base: no task, no demonstrations, seconds on one core."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datasets.randomness import stream
from station.testing.contract import Contract, require_settings

if TYPE_CHECKING:
    from policy.steering.interface import Decision, Steering, SteeringSettings, Window
    from station.testing.rehearsal import Rehearsal

_EXECUTE = 4
_ROWS = 3
_MOST_EPISODES = 400
_SEED = 7

Arrays = dict[str, NDArray[Any]]


def check_steering(settings: SteeringSettings) -> None:
    """Check the method that `settings` build: what it computes, learns, stores and restores.

    Choose settings with small networks and a short warm-up: it is rehearsed until it plans its first updates.

    Raises:
        AssertionError: it breaks its contract; says how, and where that is written.
    """
    # here, so that a check of a driver loads no torch
    from station.testing.rehearsal import Rehearsal

    contract = Contract(subject=type(settings).__name__, interface="policy.steering.interface.Steering")
    require_settings(contract, settings)
    rehearsal = Rehearsal(lambda base, seed: settings.build(base, seed, n_action_steps=_EXECUTE), _SEED)
    check = _Check(contract, rehearsal)
    check.deciding()
    check.rows()
    check.learning()


class _Check:
    """One method under test."""

    def __init__(self, contract: Contract, rehearsal: Rehearsal) -> None:
        self.contract, self.rehearsal, self.method = contract, rehearsal, rehearsal.method

    # --- what it computes ---

    def deciding(self) -> None:
        """Shapes, names and numbers of features and decisions; the same again for the same streams."""
        contract, method = self.contract, self.method
        contract.require(isinstance(method.name, str) and method.name, "it has no name", "name")
        contract.require(
            method.n_action_steps == _EXECUTE,
            f"built to execute {_EXECUTE} steps of a chunk, it says {method.n_action_steps}",
        )
        for explore in (True, False):
            window = self.rehearsal.window(_ROWS)
            given = copy.deepcopy(window)
            features, decision = self._decided(window, _rngs(_ROWS), explore=explore)
            self._require_entries(features, method.record.features, "features")
            self._require_entries(decision.chosen, method.record.decisions, "decisions")
            actions = {"actions": (_EXECUTE, self.rehearsal.base.spec.da)}
            self._require_entries({"actions": decision.actions}, actions, "act")
            contract.require(
                _same(dict(window.images), dict(given.images)), "it changes the images it is given", "act"
            )
            contract.require(
                np.array_equal(window.proprioception, given.proprioception),
                "it changes the proprioception it is given",
                "act",
            )
            again = self._decided(self.rehearsal.window(_ROWS), _rngs(_ROWS), explore=explore)
            contract.require(
                _same(features, again[0]) and _same(_all(decision), _all(again[1])),
                "with the same window and the same streams it decides otherwise; draw from `rngs` alone",
                "act",
            )

    def _decided(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> tuple[Arrays, Decision]:
        with self.rehearsal.global_state(self.contract):
            features = self.method.features(window, rngs, explore=explore)
            given = {name: values.copy() for name, values in features.items()}
            decision = self.method.act(window, features, rngs, explore=explore)
        self.contract.require(_same(features, given), "act changes the features it is given", "act")
        return dict(features), decision

    def _require_entries(self, found: Arrays, wanted: Mapping[str, tuple[int, ...]], what: str) -> None:
        method = "features" if what == "features" else "act"
        self.contract.require(
            set(found) == set(wanted),
            f"its {what} are {sorted(found)}, its record says {sorted(wanted)}",
            method,
        )
        for name, values in found.items():
            size = (_ROWS, *wanted[name])
            self.contract.require(
                values.shape == size and values.dtype == np.float32 and np.isfinite(values).all(),
                f"'{name}' of its {what} is {values.dtype} {list(values.shape)}; finite float32 {list(size)} is wanted",
                method,
            )

    def rows(self) -> None:
        """A cell neither sees its neighbours nor draws from their streams."""
        results = []
        for neighbour in (0, 50):
            order = [neighbour, 1, neighbour + 2]
            window = self.rehearsal.window(_ROWS, order)
            rngs = [stream(_SEED, "check", ordinal) for ordinal in order]
            features, decision = self._decided(window, rngs, explore=True)
            results.append({**features, **_all(decision)})
        different = [
            name for name in results[0] if not np.array_equal(results[0][name][1], results[1][name][1])
        ]
        self.contract.require(
            not different, f"{', '.join(different)} of a cell depend on its neighbours in the batch", "act"
        )

    # --- what it learns ---

    def learning(self) -> None:
        """Updates as planned, a pure function of state, replay and stream; checkpoints restore everything."""
        contract, rehearsal, method = self.contract, self.rehearsal, self.method
        contract.require(
            method.planned_updates(rehearsal.replay, []) == 0,
            "it plans updates on an empty replay",
            "planned_updates",
        )
        fresh = self._warmed_up()
        before = {name: tensor.clone() for name, tensor in method.state().items()}
        untouched = rehearsal.weights()
        self._block(method, fresh, 0)
        contract.require(
            rehearsal.weights() == untouched, "learn changes the frozen base; own a copy to change", "learn"
        )
        middle = method.state()
        kept = {name: tensor.clone() for name, tensor in middle.items()}
        self._block(method, fresh, 1)
        contract.require(
            _same(_arrays(middle), _arrays(kept)),
            "state returns live tensors, which the next block changed",
            "state",
        )
        self._restored(before, middle, fresh)
        self._other_states()

    def _warmed_up(self) -> list[str]:
        """Episodes until the method plans its first updates, if it ever learns."""
        rehearsal, method = self.rehearsal, self.method
        fresh: list[str] = []
        while len(fresh) < _MOST_EPISODES:
            fresh += rehearsal.episodes(8)
            if method.planned_updates(rehearsal.replay, fresh):
                break
            if not method.warmup_chunks and len(rehearsal.replay) > _ROWS:
                break
        unknown = method.planned_updates(rehearsal.replay, ["online-999999"])
        self.contract.require(
            unknown == 0,
            f"it plans {unknown} updates for an episode that the replay does not hold",
            "planned_updates",
        )
        return fresh

    def _block(self, method: Steering, fresh: list[str], ordinal: int) -> None:
        contract, replay = self.contract, self.rehearsal.replay
        planned = method.planned_updates(replay, fresh)
        with self.rehearsal.global_state(contract):
            steps = list(method.learn(replay, fresh, stream(_SEED, "check update", ordinal)))
        contract.require(
            len(steps) == planned,
            f"learn yields {len(steps)} times, planned_updates says {planned}",
            "planned_updates",
        )
        for metrics in steps:
            contract.require(
                all(isinstance(name, str) and np.isfinite(value) for name, value in metrics.items()),
                f"a gradient step reports {metrics}; metrics are finite numbers by name",
                "learn",
            )

    def _restored(self, before: dict[str, Any], middle: dict[str, Any], fresh: list[str]) -> None:
        """A fresh one, of another seed, continues exactly where a checkpoint was written."""
        contract, rehearsal = self.contract, self.rehearsal
        for state, blocks, rule in (
            (before, (0, 1), "two blocks from a restored state end elsewhere; learn must be a pure function"),
            (
                middle,
                (1,),
                "resumed in the middle, it ends elsewhere; state lacks something that learn depends on",
            ),
        ):
            other = rehearsal.another(seed=_SEED + 1)
            other.load_state({name: tensor.clone() for name, tensor in state.items()})
            contract.require(
                _same(_arrays(other.state()), _arrays(state)),
                "load_state is not the inverse of state",
                "load_state",
            )
            for ordinal in blocks:
                self._block(other, fresh, ordinal)
            contract.require(_same(_arrays(other.state()), _arrays(self.method.state())), rule, "state")
        window = rehearsal.window(_ROWS)
        results = []
        for method in (self.method, other):
            features = method.features(window, _rngs(_ROWS), explore=False)
            results.append({**features, **_all(method.act(window, features, _rngs(_ROWS), explore=False))})
        contract.require(
            _same(*results), "resumed, it acts otherwise; state lacks something that act depends on", "state"
        )

    def _other_states(self) -> None:
        """A state of another method, or of other sizes, is refused."""
        import torch

        state, another = self.method.state(), self.rehearsal.another(seed=_SEED)
        wrong = {"unknown": torch.zeros(1)} if not state else dict(state)
        if state:
            name = min(state)
            wrong[name] = torch.zeros((*state[name].shape, 2))
            missing = {other: tensor for other, tensor in state.items() if other != name}
            self.contract.refuses(
                ValueError, lambda: another.load_state(missing), f"without '{name}'", "load_state"
            )
        self.contract.refuses(
            ValueError, lambda: another.load_state(wrong), "with other shapes", "load_state"
        )


def _rngs(rows: int) -> list[np.random.Generator]:
    return [stream(_SEED, "check", row) for row in range(rows)]


def _all(decision: Decision) -> Arrays:
    return {**decision.chosen, "actions": decision.actions}


def _arrays(state: dict[str, Any]) -> Arrays:
    return {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}


def _same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
