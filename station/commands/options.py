"""Arguments and options that several commands share, so that each means the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from station import sessions
from station.interruption import interruptible
from station.plain import visible
from station.reporting import JsonReporter, Reporter, TerminalReporter


def complete_sessions(incomplete: str) -> list[str]:
    """Names for the shell's tab key."""
    return [name for name in sessions.names() if name.startswith(incomplete) and visible(name) == name]


def complete_tasks(incomplete: str) -> list[str]:
    """Names for the shell's tab key."""
    from station.tasks.shelf import list_tasks

    return [name for name in list_tasks() if name.startswith(incomplete)]


SessionArgument = Annotated[
    str, typer.Argument(metavar="SESSION", help="Session folder or name.", autocompletion=complete_sessions)
]
SessionOption = Annotated[
    str | None,
    typer.Option("--session", help="Session folder or name.", autocompletion=complete_sessions),
]
TaskOption = Annotated[
    str,
    typer.Option("--task", help="Task by name, or a .toml file.", autocompletion=complete_tasks),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random stream.")]
HeadlessOption = Annotated[bool, typer.Option("--headless", help="Without the terminal UI.")]
AutopilotOption = Annotated[
    bool, typer.Option("--autopilot", help="Label from simulator ground truth (simulated cells only).")
]
MistakesOption = Annotated[
    float | None,
    typer.Option("--mistakes", min=0.0, max=1.0, help="Share of labels the automatic operator gets wrong."),
]
SpeedOption = Annotated[
    str | None, typer.Option("--speed", help="Clock of simulated cells: 1x, 4x or max (as fast as it goes).")
]
CellsOption = Annotated[
    int | None, typer.Option("--cells", min=1, max=64, help="Simulated cells in parallel.")
]
AcceptDevicesOption = Annotated[
    bool,
    typer.Option(
        "--accept-devices",
        help="Accept the replaced arm or camera that the last start was refused for, from now on.",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N",
        help="Where networks compute; default: the config file's, else the GPU if there is one.",
    ),
]
DecisionThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--decision-threads",
        min=1,
        max=256,
        help="CPU threads of one decision; default: as the session began, else chosen for the network's size.",
    ),
]
PolicyServerOption = Annotated[
    str | None,
    typer.Option(
        "--policy-server",
        metavar="ADDRESS",
        help="Compute the base policy at this server (ws://HOST:PORT), or 'here'; default: as your config file says.",
    ),
]
EpisodesOption = Annotated[
    int | None, typer.Option("--episodes", min=0, help="Finish the session after this many online episodes.")
]
ChunksOption = Annotated[
    int | None, typer.Option("--chunks", min=0, help="Finish the session after this many online chunks.")
]


def reporter(*, as_json: bool) -> Reporter:
    """Bars for people, lines for programs; Ctrl-C and SIGTERM end the job at its next safe point."""
    interruptible()
    return JsonReporter() if as_json else TerminalReporter(describe)


def describe(kind: str, facts: dict[str, object]) -> list[str]:
    """An event of a job as lines for people; none for what the bars already show."""
    if kind == "finding":
        mark = "ok     " if facts["usable"] else "refused"
        return [f"{mark} {facts['file']}: {_detail(facts)}"]
    if kind in ("mapping", "demonstrations", "waits", "device"):
        return _about_the_whole(kind, facts)
    if kind == "done" and "defects" in facts:
        from station.jobs.import_run import report_in_words

        return report_in_words(facts)
    if kind == "result" and facts.get("detail"):
        mark = "refused" if facts["refused"] else "known  " if facts["duplicate"] else "noted  "
        return [f"{mark} {facts['file']}: {_detail(facts)}"]
    if kind == "result" and "path" in facts:
        return [
            f"base, {facts['path']} path: {facts['successes']}/{facts['n']} succeed "
            f"[{facts['low']:.2f}, {facts['high']:.2f}]"
        ]
    return []


def _about_the_whole(kind: str, facts: dict[str, object]) -> list[str]:
    if kind == "waits":
        return [str(facts["words"])]
    if kind == "device":
        return [f"Computing on {facts['words']}."]
    if kind == "demonstrations":
        return [f"Training on {facts['words']}."]
    from station.jobs.import_run import mapping_in_words

    return mapping_in_words(facts)


def _detail(facts: dict[str, object]) -> str:
    return "unanswered, see above" if facts.get("asked") else str(facts["detail"])
