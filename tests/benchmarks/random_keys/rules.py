"""What may explain a motion of the arm or a line about an episode. It knows the log and nothing of the station's code.

**Motion.** The arm moves only in a phase that moves it (rollout, evaluate, homing), begins in one, and stands `BRAKING`
s after its end. And each such phase has a cause:

- a rollout or an evaluation begins at READY by `r` or after a pause by `space`;
- a way home begins by itself behind an episode (moving, or waiting for its label), behind the checks of an engine's
  start, or behind those that `r` at FAULT or FINISHED, or `e` at FINISHED began; after a pause by `space`;
- an engine starts because its screen was opened, or by Enter on NO ENGINE.

A press is a cause when its screen showed the state that it answers, that UI was not suspended, the state had been
there to be read, and the press is `SOON` s old at most (`CHECKED` where devices are checked in between); of an engine
that was suspended meanwhile it obeys only what was pressed in the last second.

**A label**, void or restore by an operator is one of `s f v u` on a screen that named this episode in that moment; `u`
on one that has no judgement takes back the newest judgement in the journal, and says whose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datasets.episode import Outcome
from datasets.journal.journal import Line
from datasets.journal.records import EpisodeCommitted, Labelled, Record, Restored, Voided
from tests.benchmarks.random_keys.log import Log, Press, Shot

MOVES = ("rollout", "evaluate", "homing")
EPISODES = ("rollout", "evaluate")
SOON, CHECKED, STARTING = 2.0, 8.0, 60.0
READ, SLACK, AGE = 0.5, 0.3, 1.3
LEAD, BRAKING, HEARTBEAT = 0.6, 1.2, 1.5
STILL, STEP = 0.7, 0.003
"""s and rad: motions are apart when no joint turned by so much for so long."""
JUDGED = 4.0
"""s from a key to its line: the motion ends and is committed in between."""
CAUSES: dict[str, tuple[tuple[str, str], ...]] = {
    "ready": (("READY", "r"),),
    "paused": (("PAUSED", "space"),),
    "fault": (("FAULT", "r"),),
    "finished": (("FINISHED", "r"), ("FINISHED", "e")),
}
"""Phase -> (what the screen shows, the key that leaves it)."""


@dataclass(kw_only=True)
class Run:
    """One phase from its begin to its end."""

    phase: str
    pid: int
    begin: float
    end: float
    cause: str = ""
    """Why it may move the arm; empty where nobody knows, or where it does not move it."""
    pressed: float | None = None
    """When the key that is its cause went down."""
    unseen: bool = False
    """Nobody saw it: it may have begun just before the engine was suspended, which then told of nothing."""


@dataclass(kw_only=True)
class Motion:
    """The arm moves after it stood still."""

    begin: float
    end: float
    why: str = ""
    odd: str = ""
    """What is wrong with it."""


def runs(log: Log) -> list[Run]:
    """The phases, each with its cause."""
    found: list[Run] = []
    before: Shot | None = None
    for shot in log.shots:
        if before is None or (shot.phase, shot.pid, shot.question) != (
            before.phase,
            before.pid,
            before.question,
        ):
            if found and before is not None:
                found[-1].end = shot.at if shot.pid == before.pid else before.at + 0.5
            found.append(Run(phase=shot.phase, pid=shot.pid, begin=shot.at, end=shot.at + 0.5))
        found[-1].end = max(found[-1].end, shot.at)
        before = shot
    for index, run in enumerate(found):
        if run.phase in MOVES:
            run.cause, run.pressed = _cause(found[: index + 1], log)
    return sorted([*found, *_unseen(found, log)], key=lambda run: run.begin)


def _unseen(seen: Sequence[Run], log: Log) -> list[Run]:
    """The phases that the engine had a cause to begin at the moment when it was suspended."""
    found = []
    for halt in log.halts:
        past = [run for run in seen if run.begin <= halt.begin]
        if halt.who != "engine" or not past:
            continue
        for phase in MOVES:
            run = Run(
                phase=phase, pid=past[-1].pid, begin=halt.begin, end=halt.begin + HEARTBEAT, unseen=True
            )
            run.cause, run.pressed = _cause([*past, run], log)
            if run.cause and phase != past[-1].phase:
                found.append(run)
    return found


def _cause(past: Sequence[Run], log: Log) -> tuple[str, float | None]:
    """Why the last of these phases may move the arm."""
    run = past[-1]
    before = next((each for each in reversed(past[:-1]) if each.phase != "preflight"), None)
    checked = len(past) > 1 and past[-2].phase == "preflight"
    if before is None or before.pid != run.pid:
        return _start(run, before, log) if run.phase == "homing" else ("", None)
    if run.phase == before.phase and run.phase in EPISODES and before.cause:
        return before.cause, before.pressed
    if run.phase == "homing" and before.phase in (*EPISODES, "label") and not checked:
        return ("home behind an episode", None) if _was_begun(past) else ("", None)
    wanted = CAUSES.get(before.phase, ())
    if (run.phase in EPISODES) != (before.phase in ("ready", "paused")) and before.phase != "paused":
        return "", None
    window = CHECKED if before.phase in ("fault", "finished") else SOON
    for press in reversed(log.presses):
        fits = (
            press.badge,
            press.key.lower(),
        ) in wanted and run.begin - window <= press.at <= run.begin + 0.1
        if fits and before.begin <= press.at - READ and _obeyed(press, log):
            return f"{press.key.lower()} at {press.badge}", press.at
    return "", None


def _was_begun(past: Sequence[Run]) -> bool:
    """Whether the newest episode that moved had a cause; one that was judged after a restart has none to have."""
    newest = next((run for run in reversed(past) if run.phase in EPISODES), None)
    return newest is None or bool(newest.cause)


def _start(run: Run, before: Run | None, log: Log) -> tuple[str, float | None]:
    """An engine's first way home."""
    since = before.end if before is not None else float("-inf")
    if any(max(since - SOON, run.begin - STARTING) < start < run.begin for start in log.starts):
        return "an engine's start", None
    for press in log.presses:
        asked = press.badge == "NO ENGINE" and press.key == "Enter" and not press.held
        if asked and max(since, run.begin - STARTING) < press.at < run.begin:
            return "Enter at NO ENGINE", press.at
    return "", None


def _obeyed(press: Press, log: Log) -> bool:
    """Whether a press may be obeyed: neither its screen nor the engine stood still."""
    if not _seen(press, log):
        return False
    hung = (h.end - press.at for h in log.halts if h.who == "engine" and h.begin <= press.at <= h.end)
    return max(hung, default=0.0) <= AGE


def motions(log: Log, phases: Sequence[Run]) -> list[Motion]:
    """Every motion of the true arm, explained or not."""
    found: list[Motion] = []
    before: list[float] | None = None
    for at, pose in log.poses:
        if before is None:
            before = pose
        elif max(abs(a - b) for a, b in zip(pose, before, strict=True)) > STEP:
            if not found or at - found[-1].end > STILL:
                found.append(Motion(begin=at, end=at))
            _judge(found[-1], at, phases, log)
            found[-1].end, before = at, pose
    return found


def _judge(motion: Motion, at: float, phases: Sequence[Run], log: Log) -> None:
    """Look at one moment of a motion."""
    braking = 0.0 if at == motion.begin else BRAKING
    inside = [
        run
        for run in phases
        if run.phase in MOVES
        and run.begin - LEAD <= at <= run.end + SLACK + braking
        and (not run.unseen or motion.begin <= run.begin + SLACK)
    ]
    hung = any(h.who == "engine" and h.begin + HEARTBEAT + BRAKING < at < h.end for h in log.halts)
    if hung:
        motion.odd = motion.odd or f"at {at:.1f}: the engine is suspended"
    elif not inside:
        near = [run.phase for run in phases if run.begin <= at <= run.end]
        motion.odd = motion.odd or f"at {at:.1f}: in {near[-1] if near else 'no phase'}"
    elif not any(run.cause for run in inside):
        motion.odd = motion.odd or f"at {at:.1f}: nobody began this {inside[-1].phase}"
    else:
        motion.why = motion.why or next(run.cause for run in inside if run.cause)


def causeless(phases: Iterable[Run]) -> list[str]:
    """Phases that move the arm and that nothing explains, whether or not it moved."""
    return [f"{run.phase} at {run.begin:.1f}" for run in phases if run.phase in MOVES and not run.cause]


_KEYS = {Outcome.SUCCESS: ("s",), Outcome.FAILURE: ("f",), Outcome.TIMEOUT: (), None: ("u",)}


def judgements(lines: Sequence[Line[Record]], log: Log) -> tuple[dict[str, int], list[str]]:
    """How many lines about episodes each key explains, and those that no key explains."""
    counted: dict[str, int] = {}
    odd: list[str] = []
    for index, line in enumerate(lines):
        record, at = line.record, line.time - log.wall
        if not isinstance(record, Labelled | Voided | Restored) or record.by not in ("operator", "review"):
            continue
        why = _pressed(record, at, lines[:index], log)
        if why:
            counted[why] = counted.get(why, 0) + 1
        else:
            odd.append(f"{record!r} at {at:.1f}")
    return counted, odd


def _pressed(
    record: Labelled | Voided | Restored, at: float, before: Sequence[Line[Record]], log: Log
) -> str:
    """The key that explains the line written at `at`, s; empty if none does."""
    episode = record.episode
    if isinstance(record, Labelled):
        keys: tuple[str, ...] = _KEYS[record.outcome]
    else:
        keys = ("v",) if isinstance(record, Voided) else ("v", "u")
    judged = [
        (each.time - log.wall, said.id if isinstance(said, EpisodeCommitted) else said.episode)
        for each in before
        if isinstance(said := each.record, EpisodeCommitted | Labelled | Voided | Restored)
    ]
    late = JUDGED + sum(
        h.end - h.begin for h in log.halts if h.who == "engine" and at - 15.0 < h.end and h.begin < at
    )
    for press in reversed(log.presses):
        if press.key.lower() not in keys or not at - late <= press.at <= at + 0.1 or not _seen(press, log):
            continue
        if episode in press.named:
            return f"{press.key.lower()} where it was named"
        # of the journal as the screen knew it, which is a snapshot behind at most
        earlier = [name for when, name in judged if when < press.at - AGE][-1:]
        late_ones = [name for when, name in judged if press.at - AGE <= when <= press.at + 0.1]
        if press.key == "u" and episode in earlier + late_ones:
            return "u, the newest judgement"
    return ""


def _seen(press: Press, log: Log) -> bool:
    who = ("run", "attach")[press.screen]
    return not press.held and not any(
        h.who == who and h.begin <= press.at <= h.end + SLACK for h in log.halts
    )
