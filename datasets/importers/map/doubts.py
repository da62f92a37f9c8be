"""Questions before a recording is assembled: missing information, and entries that the numbers contradict.

Contradicting a proposal raises a question; contradicting a person's answer raises a warning with the answer that would
fit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from datasets.importers.defects import Defect, Note, Question, RefusedError, warning
from datasets.importers.interface import RawEpisode
from datasets.importers.kinematics import forward_kinematics
from datasets.importers.map import agreement, columns
from datasets.importers.map.agreement import Pair, is_told
from datasets.importers.map.questions import questions, turn_of
from datasets.importers.map.turns import WORDS, TurnReading, told_apart, turn_readings
from datasets.importers.mapping import ActionKind, Arm, EulerOrder, Mapping, Representation, Track, arm_prefix
from datasets.importers.recording import Array
from datasets.spec import DataSpec


def asked(raw: RawEpisode, mapping: Mapping, spec: DataSpec, told: Collection[str]) -> list[Question]:
    """Open questions, in the order to ask them.

    Raises:
        RefusedError: no answer can help.
    """
    first = [_weighed(question, raw, mapping, spec, told) for question in questions(raw, mapping, spec, told)]
    return first or [doubt for doubt in _doubts(raw, mapping, spec, told) if not is_told(doubt.name, told)]


def contradicted(raw: RawEpisode, mapping: Mapping, spec: DataSpec, told: Collection[str]) -> list[Note]:
    """A warning for each answer that the numbers contradict; requires that no question is open."""
    return [
        warning(Defect.CONTRADICTION, doubt.sentence)
        for doubt in _doubts(raw, mapping, spec, told)
        if is_told(doubt.name, told)
    ]


def _weighed(
    question: Question, raw: RawEpisode, mapping: Mapping, spec: DataSpec, told: Collection[str]
) -> Question:
    """Add the evidence of the observed motion to a question about the meaning of commands."""
    arm = mapping.arms[0]
    with np.errstate(over="ignore", invalid="ignore"):
        doubts = _Doubts(raw, mapping, arm, spec, "", told)
        match question.name:
            case "actions":
                said = doubts.weight_of_increments()
            case "increment_turn":
                return doubts.weighed_turns(question)
            case _:
                said = ""
    return replace(question, text=f"{question.text}; {said}") if said else question


def _doubts(raw: RawEpisode, mapping: Mapping, spec: DataSpec, told: Collection[str]) -> list[Question]:
    found: list[Question] = []
    for number, arm in enumerate(mapping.arms[: spec.action.arms], start=1):
        doubts = _Doubts(raw, mapping, arm, spec, arm_prefix(number), told)
        # numbers beyond anything measurable are another defect with its own message
        with np.errstate(over="ignore", invalid="ignore"):
            found += [*doubts.actions(), *doubts.turns(), *doubts.grippers(), *doubts.units()]
    return list({question.name: question for question in found}.values())


@dataclass(frozen=True)
class _Doubts:
    """Doubts about one arm."""

    raw: RawEpisode
    mapping: Mapping
    arm: Arm
    spec: DataSpec
    prefix: str
    told: Collection[str]

    def actions(self) -> Iterator[Question]:
        """Questions if commands are not followed, or if increments do not match the answered scale and frame."""
        match self.mapping.actions:
            case ActionKind.COMMANDED:
                yield from self._targets()
            case ActionKind.INCREMENTS:
                yield from self._increments()

    def _targets(self) -> Iterator[Question]:
        pair = self._pair()
        if pair is not None:
            if not agreement.follows(pair, self._period):
                yield agreement.misread(pair, self._period, self._turns() if pair.unit == "m" else None)
        elif self.arm.commanded.position and (self.arm.frame or self.mapping.frame) is None:
            position = self._positions(self.arm.commanded)
            doubt = None if position is None else agreement.in_the_foot(position, self.arm.commanded.position)
            if doubt is not None:
                yield doubt

    def _increments(self) -> Iterator[Question]:
        observed, track = self._positions(self.arm.observed), self.arm.commanded
        if observed is None or track.position is None or self.mapping.increment_position is None:
            return
        moves = self._following(columns.select(self.raw.columns, track.position))
        fits = agreement.readings(moves, observed, self._turns(), self._period)
        own = next((fit for fit in fits if fit.frame == self.mapping.increment_frame), None)
        best = max(fits, key=lambda fit: fit.correlation, default=None)
        if own is None or best is None or best.correlation < agreement.FITS:
            return
        if own is not best and best.correlation > own.correlation + _CLEARLY:
            text = f"the increments fit the motion along the axes of the {best.frame}, not of the {own.frame}"
            yield Question(name="increment_frame", text=text, choices=(best.frame,))
        ratio = best.scale / self.mapping.increment_position
        if is_told("increment_position", self.told) and not 1 / _MUCH < ratio < _MUCH:
            text = f"an increment of 1 was answered to mean {self.mapping.increment_position:g} m, and the arm moved "
            text += f"about {best.scale:.2g} m for it"
            yield Question(name="increment_position", text=text, example=f"{best.scale:.2g}")

    def weight_of_increments(self) -> str:
        """Evidence of the observed motion for or against increments; a sentence fragment."""
        commanded, observed = self.arm.commanded, self.arm.observed
        unit: str | None
        if commanded.position is not None:
            told, seen, unit = (
                self._selected(commanded.position),
                self._positions(observed),
                self.mapping.length,
            )
            names = (commanded.position, observed.position or str(observed.joints))
        elif commanded.joints is not None:
            joints = None if observed.joints is None else self._selected(observed.joints)
            told, seen, unit = self._selected(commanded.joints), joints, self.mapping.angle
            names = (commanded.joints, str(observed.joints))
        else:
            return ""
        if told is None or seen is None or told.shape[1] != seen.shape[1]:
            return "nothing observed is known that they could be compared with"
        turns = self._turns() if commanded.position is not None else None
        return agreement.weight(self._following(told), seen, turns, self._period, names, unit)

    def weighed_turns(self, question: Question) -> Question:
        """The question with the best-fitting meaning first, and how well each explains the observed turns."""
        readings = self._turn_readings()
        if not readings:
            return replace(
                question,
                text=f"{question.text}; no observed rotation is known that they could be compared with",
            )
        said = "; ".join(reading.sentence for reading in readings)
        text = f"{question.text}; of the observed turns over the whole episode (1 is all of them): {said}"
        if not told_apart(*readings):
            text += "; this episode does not distinguish all of them"
        return replace(question, text=text, choices=tuple(reading.kind for reading in readings))

    def _turn_readings(self) -> list[TurnReading]:
        rotation, turns = self.arm.commanded.rotation, self._turns()
        values = None if rotation is None else self._selected(rotation)
        if values is None or turns is None or values.shape[1] != _POSITION:
            return []
        orders = (self.mapping.euler,) if self.mapping.euler else get_args(EulerOrder)
        return turn_readings(self._following(values), turns, orders, self._period)

    def turns(self) -> Iterator[Question]:
        """Questions if rotation increments do not match the answered meaning."""
        told = turn_of(self.mapping, self.arm.commanded)
        readings = self._turn_readings() if self._moves_by_increments and told else []
        own = next((reading for reading in readings if reading.kind == told), None)
        if own is None or own is readings[0] or readings[0].fit.correlation < agreement.FITS:
            return
        if told_apart(readings[0], own):
            text = f"increments of a rotation were taken for {WORDS[own.kind]}, and of the observed turns "
            text += f"{readings[0].sentence}, the former with {own.fit.correlation:.2f}"
            yield Question(name="increment_turn", text=text, choices=(readings[0].kind,))

    def grippers(self) -> Iterator[Question]:
        """Questions if command and observation disagree on which end is open, or an answered range is hardly used."""
        tracks = {"action.": self.arm.commanded, "": self.arm.observed}
        openings = {
            side: opening for side, track in tracks.items() if (opening := self._opening(track)) is not None
        }
        both = len(openings) == len(tracks)
        if both and agreement.opposed(openings["action."], openings[""], self._period):
            wrong = self.arm.commanded
            yield Question(
                name=f"{self.prefix}action.range",
                text=f"'{wrong.gripper}' closes when '{self.arm.observed.gripper}' opens; one of them is the other way "
                f"round, or both are",
                example=f"{wrong.open:g},{wrong.closed:g}",
            )
        for side, opening in openings.items():
            name, track = f"{self.prefix}{side}range", tracks[side]
            if is_told(name, self.told) and opening.max() < _HARDLY and np.ptp(opening) > _HARDLY**2:
                seen = columns.select(self.raw.columns, str(track.gripper))[:, 0]
                text = f"'{track.gripper}' runs from {seen.min():.3g} to {seen.max():.3g}, which is hardly open at all"
                text += f" when it runs from {track.closed:g} to {track.open:g} in all"
                yield Question(name=name, text=text, example=f"{seen.min():.3g},{seen.max():.3g}")

    def units(self) -> Iterator[Question]:
        """Questions about answered units that the largest numbers contradict."""
        tracks = (self.arm.observed, self.arm.commanded)
        for name, unit, selectors in (
            ("angle", self.mapping.angle, [track.joints for track in tracks]),
            ("length", self.mapping.length, [track.position for track in tracks]),
        ):
            found = [self._selected(selector) for selector in selectors if selector is not None]
            values = [numbers for numbers in found if numbers is not None and numbers.size]
            if unit is None or not is_told(name, self.told) or not values or self._moves_by_increments:
                continue
            largest = max(float(np.nanmax(np.abs(numbers))) for numbers in values)
            doubt = agreement.doubtful_unit(name, unit, largest, largest == _PERCENT)
            if doubt is not None:
                yield doubt

    @property
    def _moves_by_increments(self) -> bool:
        return self.mapping.actions is ActionKind.INCREMENTS

    @property
    def _period(self) -> float:
        """Sample period, s."""
        time = self.raw.time
        if time is not None and len(time) > 1 and np.isfinite(time).all():
            return max(float(np.median(np.diff(time))), 0.0)
        return 1 / (self.mapping.rate or 1.0)

    def _pair(self) -> Pair | None:
        """Targets and reached values in matching numbers; None if the source lacks either."""
        commanded, observed = self.arm.commanded, self.arm.observed
        unit: str | None
        if commanded.position is not None:
            told, seen, unit = self._positions(commanded), self._positions(observed), "m"
            names = (commanded.position, observed.position or str(observed.joints))
        elif commanded.joints is not None and observed.joints is not None:
            told, seen, unit = self._joints(commanded), self._joints(observed), "rad"
            names = (commanded.joints, observed.joints)
        else:
            return None
        if told is None or seen is None or told.shape[1] != seen.shape[1]:
            return None
        return Pair(commanded=self._following(told), observed=seen, unit=unit, names=names)

    def _following(self, values: Array) -> Array:
        """Numbers [T, n], NaN where the arm did not follow."""
        if self.raw.following is None:
            return values
        ticks = min(len(values), len(self.raw.following))
        return np.where(self.raw.following[:ticks, None], values[:ticks], np.nan)

    def _selected(self, selector: str) -> Array | None:
        try:
            return columns.select(self.raw.columns, selector)
        except RefusedError:
            return None

    def _joints(self, track: Track) -> Array | None:
        values = None if track.joints is None else self._selected(track.joints)
        return None if values is None or self.mapping.angle is None else columns.angles(values, self.mapping)

    def _positions(self, track: Track) -> Array | None:
        """Positions [T, 3] m, computed by the arm's kinematics if necessary."""
        if track.position is None:
            poses = self._computed(track)
            return None if poses is None else poses[:, :3]
        values = self._selected(track.position)
        if values is None or values.shape[1] != _POSITION:
            return None
        return columns.positions(values, self.mapping, track.position)

    def _computed(self, track: Track) -> Array | None:
        joints = self._joints(track)
        if joints is None or self.mapping.kinematics is None:
            return None
        try:
            return forward_kinematics(self.mapping.kinematics)(joints)
        except RefusedError:
            return None

    def _turns(self) -> Array | None:
        """xyzw [T, 4] of the observed tool, if its rotation is fully specified."""
        track = self.arm.observed
        if track.rotation is None:
            poses = self._computed(track)
            return None if poses is None else poses[:, 3:]
        values = self._selected(track.rotation)
        kind = None if values is None else columns.representation_of(values, track.representation)
        if values is None or kind is None or not self._knows_orders_of(kind):
            return None
        try:
            return columns.quaternions(values, kind, self.mapping, track.rotation)
        except RefusedError:
            return None

    def _knows_orders_of(self, kind: Representation) -> bool:
        match kind:
            case Representation.QUATERNION:
                return self.mapping.quaternion is not None
            case Representation.EULER:
                return self.mapping.euler is not None and self.mapping.angle is not None
            case Representation.ROTATION_VECTOR:
                return self.mapping.angle is not None
            case _:
                return True

    def _opening(self, track: Track) -> Array | None:
        if (
            not self.spec.action.gripper
            or track.gripper is None
            or track.closed is None
            or track.open is None
        ):
            return None
        values = self._selected(track.gripper)
        if values is None or not len(values) or not np.isfinite(values).all():
            return None
        return columns.opening(values, track.closed, track.open)


_POSITION = 3
_PERCENT = 100.0
_HARDLY = 0.2
"""Opening below which a gripper counts as closed."""
_CLEARLY = 0.3
"""Margin in correlation that counts as a clear difference."""
_MUCH = 5.0
