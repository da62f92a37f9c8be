"""The top of the session screen: the session's state, what to do now, and whether the last key was taken."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from textual.content import Content

from datasets.wording import counted
from station.plain import visible
from station.session.folder import LOG
from station.session.snapshot import Phase, Snapshot
from station.tui.attachment import Attachment, LineStatus
from station.tui.key_dispatcher import Echo, PressStatus
from station.tui.keymap import Keymap
from station.tui.sentences import SHORT, badge, sentence


@dataclass(frozen=True, kw_only=True)
class Bearing:
    """Content of the title line."""

    session: str
    task: str
    episode: str
    version: int
    speed: str
    autopilot: bool
    mistakes: float
    watching: bool
    """Another terminal holds the keys."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """Content of the headline."""

    badge: str
    style: str
    sentence: str
    below: str
    echo: Echo | None
    whole: bool = False
    """The text below is a reason or remedy: show all of it, on more lines if needed."""
    unseen: str = ""
    """A remark on who can see this screen."""


_GREEN = "$background on $success bold"
_AMBER = "$background on $warning bold"
_RED = "$background on $error bold"
_BLUE = "$background on $primary bold"
STYLES: dict[Phase, str] = {
    Phase.READY: _AMBER,
    Phase.LABEL: _AMBER,
    Phase.ROLLOUT: _GREEN,
    Phase.EVALUATE: _GREEN,
    Phase.FAULT: _RED,
    Phase.PAUSED: _AMBER,
}
"""Green: the arm moves; amber: it is the operator's turn; red: halted; blue: the station works by itself."""


def bearing(snapshot: Snapshot, *, watching: bool = False) -> Bearing:
    """The title line of a snapshot."""
    done, goal = snapshot.counts.episodes, snapshot.episodes_goal
    progress = f"{done} of {counted(goal, 'episode')}" if goal else counted(done, "episode")
    if snapshot.queued_evaluation:
        progress += f", then evaluation of {snapshot.queued_evaluation}"
    if snapshot.evaluating:
        ends = ", ends early" if snapshot.block_ends else ""
        progress = f"evaluation {snapshot.block_done} of {snapshot.block_size}{ends}"
    return Bearing(
        session=visible(snapshot.session),
        task=visible(snapshot.task),
        episode=progress,
        version=snapshot.counts.policy_version,
        speed=snapshot.speed.value if snapshot.simulated else "real",
        autopilot=snapshot.autopilot,
        mistakes=snapshot.mistakes,
        watching=watching,
    )


def call(snapshot: Snapshot, echo: Echo | None, keymap: Keymap) -> Call:
    """The headline of a snapshot."""
    style = _RED if snapshot.stopped else _AMBER if snapshot.rearmed else STYLES.get(snapshot.phase, _BLUE)
    return Call(
        badge=badge(snapshot),
        style=style,
        sentence=sentence(snapshot, keymap),
        below=_below(snapshot),
        echo=None if _is_over(snapshot, echo) else echo,
        whole=bool(snapshot.reason),
    )


def _is_over(snapshot: Snapshot, echo: Echo | None) -> bool:
    """Whether a fault has ended what this press began: its tick would look like an answer to the fault."""
    began = echo is not None and echo.action in ("go", "pause") and echo.status is PressStatus.DONE
    return began and snapshot.phase is Phase.FAULT


def call_without(attachment: Attachment, echo: Echo | None, keymap: Keymap) -> Call:
    """The headline while there is no engine to show: what happened, what is safe, and what to do now."""
    line, leave = attachment.line, keymap.show("leave")
    simulated = attachment.simulated
    if line is LineStatus.LOST:
        said = _without_engine(attachment)
        return Call(badge="NO ENGINE", style=_RED, sentence=said, below=attachment.why, echo=echo, whole=True)
    if line is LineStatus.SEEKING:
        said = f"Looking for an engine of this session. {leave} leaves."
        return Call(badge="LOOKING", style=_BLUE, sentence=said, below="", echo=echo)
    if line is LineStatus.SILENT and attachment.connecting:
        said = f"Connecting the devices, which can take a while. {keymap.show('stop')} stops the arm."
        below = f"no news for {attachment.unheard:.0f} s"
        return Call(badge=SHORT[Phase.PREFLIGHT], style=_BLUE, sentence=said, below=below, echo=echo)
    if line is LineStatus.SILENT:
        said = f"No news from the engine; it may be busy. {keymap.show('stop')} still stops the arm."
        below = f"silent for {attachment.unheard:.0f} s"
        return Call(badge="SILENT", style=_AMBER, sentence=said, below=below, echo=echo)
    said = f"Starting the engine. A real arm then moves home by itself: keep clear. {leave} ends it."
    if simulated:
        said = f"Starting the engine: it loads the policy and connects the cell. {leave} ends it."
    below = f"{attachment.waited:.0f} s so far; its log: {attachment.folder / LOG}"
    return Call(badge="STARTING", style=_BLUE, sentence=said, below=below, echo=echo, whole=True)


def _without_engine(attachment: Attachment) -> str:
    """What happened to the engine: a connected one is gone, or one started from here never came up."""
    then = "" if attachment.simulated else "; the arm then moves home"
    if attachment.before in (LineStatus.LIVE, LineStatus.SILENT):
        return f"Engine gone, committed episodes are safe. Enter starts it{then}."
    if attachment.before is LineStatus.STARTING:
        return f"The engine did not start: see below. Enter tries again{then}."
    return f"No engine answers, none was started. Enter starts one{then}."


def _below(snapshot: Snapshot) -> str:
    goes_to = _goes_to(snapshot)
    if snapshot.reason:
        return f"{snapshot.reason} {goes_to}".strip()
    if snapshot.episode is None:
        return ""
    if snapshot.phase in (Phase.ROLLOUT, Phase.EVALUATE) and snapshot.episode_steps:
        return f"{snapshot.episode}  step {snapshot.step} of {snapshot.episode_steps}"
    if snapshot.phase in (Phase.LABEL, Phase.FINISHED):
        return snapshot.episode
    return goes_to


def _goes_to(snapshot: Snapshot) -> str:
    if snapshot.episode is None:
        return ""
    if snapshot.void:
        return f"Episode {snapshot.episode} is void: restore it before you label it"
    return f"Labels go to {snapshot.episode}: {snapshot.label or 'pending'}"


def draw_bearing(model: Bearing, columns: int, rows: int) -> Content:
    """Session and task at the left, progress and switches at the right."""
    left = Content.assemble(
        (model.session, "bold"),
        (f"  {model.task}", "$muted"),
        ("  WATCHING ONLY" if model.watching else "", "$warning bold"),
    )
    mistakes = f" ({100 * model.mistakes:.0f}% wrong)" if model.autopilot and model.mistakes else ""
    right = Content.assemble(
        (model.episode, "bold"),
        ("   policy ", "$muted"),
        f"v{model.version}",
        ("   clock ", "$muted"),
        model.speed,
        ("   autopilot ", "$muted"),
        f"{'ON' if model.autopilot else 'off'}{mistakes}",
    )
    gap = max(2, columns - left.cell_length - right.cell_length)
    return Content.assemble(left, " " * gap, right)


ECHO_STYLES: dict[PressStatus, str] = {
    PressStatus.TAKEN: "$primary",
    PressStatus.DONE: "$success",
    PressStatus.UNANSWERED: "$warning bold",
    PressStatus.REFUSED: "$warning",
    PressStatus.LOST: "$error bold",
}


_WHOLE = (PressStatus.REFUSED, PressStatus.LOST)
"""Their detail is a reason, and is shown in full."""
_INDENT = 14
_LINES = 4
"""Maximum lines of a reason."""


def draw_call(model: Call, columns: int, rows: int) -> Content:
    """Badge and sentence; below them the reason, and on the right the last key's outcome.

    As many lines as needed: a reason is wrapped, and the echo takes no room from it. A refusal too long for
    its corner is shown below in full.
    """
    head = Content.assemble((f" {model.badge:^10} ", model.style), "  ", (model.sentence, "bold"))
    room = max(20, columns - _INDENT)
    unseen = [
        Content.styled(" " * _INDENT + line, "$warning bold") for line in textwrap.wrap(model.unseen, room)
    ]
    if model.echo is not None and model.echo.status in _WHOLE and len(str(model.echo)) > room // 2:
        return Content("\n").join([*_with_long_echo(model, model.echo, head, room), *unseen])
    echo = Content.styled(str(model.echo), ECHO_STYLES[model.echo.status]) if model.echo else Content("")
    *above, last = _lines_below(model, room, echo.cell_length)
    lines = [head, *(Content.assemble(" " * _INDENT, (line, "$muted")) for line in above)]
    gap = max(2, room - len(last) - echo.cell_length)
    told = Content.assemble(" " * _INDENT, (last, "$muted"), " " * gap, echo)
    return Content("\n").join([*lines, told, *unseen])


def _with_long_echo(model: Call, echo: Echo, head: Content, room: int) -> list[Content]:
    below = [line for line in _lines_below(model, room, 0) if line]
    lines = [(line, "$muted") for line in below]
    lines += [(line, ECHO_STYLES[echo.status]) for line in textwrap.wrap(str(echo), room)]
    return [head, *(Content.assemble(" " * _INDENT, line) for line in lines)]


def _lines_below(model: Call, room: int, echo: int) -> list[str]:
    """At least one line; the echo, this wide, fits to the right of the last."""
    if not model.whole:
        width = max(0, room - echo - 2)
        return [model.below if len(model.below) <= width else f"{model.below[: width - 1]}…"]
    lines = textwrap.wrap(model.below, room, max_lines=_LINES, placeholder=" ...") or [""]
    beside = not echo or not model.below or len(lines[-1]) + 2 + echo <= room
    return lines if beside else [*lines, ""]
