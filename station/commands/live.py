"""``station demo``, ``run``, ``attach``, ``stop`` and ``serve``: the operator's commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import StationError, UsageError
from station import sessions
from station.commands.judging import show as show_status
from station.commands.options import (
    AcceptDevicesOption,
    AutopilotOption,
    CellsOption,
    ChunksOption,
    DecisionThreadsOption,
    DeviceOption,
    EpisodesOption,
    HeadlessOption,
    JsonOption,
    MistakesOption,
    PolicyServerOption,
    SessionArgument,
    SessionOption,
    SpeedOption,
    TaskOption,
    reporter,
)
from station.compute import device_name
from station.plain import say

if TYPE_CHECKING:
    from station.session.engine.options import EngineOptions
    from station.session.folder import SessionFolder

DEMO_SESSION = "demo"


def demo(
    *,
    session: SessionOption = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of every random stream; default: 0.")
    ] = None,
    task: TaskOption = "place-orange",
    headless: HeadlessOption = False,
    mistakes: MistakesOption = None,
    cells: CellsOption = None,
    episodes: EpisodesOption = None,
    chunks: ChunksOption = None,
    device: DeviceOption = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Record, import and train; do not start the session.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Do it all from an empty folder: demonstrations, training, a session that learns. Repeat it to resume."""
    from station.jobs import demo as pipeline
    from station.jobs import headless as without_ui
    from station.session.engine.options import EngineOptions

    folder = pipeline.open_or_create(sessions.place(session or DEMO_SESSION), task=task, seed=seed)
    if headless and episodes is None and chunks is None:
        chunks = pipeline.HEADLESS_CHUNKS
    options = EngineOptions.checked(
        headless=headless,
        autopilot=headless or None,
        mistakes=mistakes,
        cells=cells,
        episodes=episodes,
        chunks=chunks,
        device=device_name(device),
    )
    if not headless and not prepare:
        words = [
            sys.executable,
            "-m",
            "station",
            "demo",
            "--session",
            str(folder.path),
            "--prepare",
            "--json",
            "--device",
            options.device,
        ]
        _show(folder, options, preparation=words)
    with reporter(as_json=as_json) as report:
        pipeline.prepare(folder, reporter=report, device=options.device)
        if headless:
            without_ui.run(folder, options, reporter=report)
        report.event("done", session=str(folder.path))
    if headless and not as_json:
        show_status(folder.path)


def run(
    session: SessionArgument,
    *,
    headless: HeadlessOption = False,
    autopilot: AutopilotOption = False,
    mistakes: MistakesOption = None,
    cells: CellsOption = None,
    speed: SpeedOption = None,
    episodes: EpisodesOption = None,
    chunks: ChunksOption = None,
    device: DeviceOption = None,
    decision_threads: DecisionThreadsOption = None,
    accept_devices: AcceptDevicesOption = False,
    policy_server: PolicyServerOption = None,
    start_on_enter: Annotated[
        bool,
        typer.Option("--start-on-enter", help="Start the engine only once Enter is pressed on the screen."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start or resume a session: its engine and, without --headless, the UI."""
    from station.jobs import headless as without_ui
    from station.session.engine.options import EngineOptions
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(sessions.find(session))
    options = EngineOptions.checked(
        headless=headless,
        autopilot=autopilot or None,
        mistakes=mistakes,
        cells=cells,
        speed=speed,
        episodes=episodes,
        chunks=chunks,
        device=device_name(device),
        decision_threads=decision_threads,
        accept_devices=accept_devices,
        policy_server=policy_server,
    )
    if not headless:
        _warn_of_limits(folder)
        _show(folder, options, start_engine=not start_on_enter)
    if not autopilot:
        raise UsageError(
            "--headless needs --autopilot: without the UI there is no one to label. Add it, or drop --headless."
        )
    with reporter(as_json=as_json) as report:
        without_ui.run(folder, options, reporter=report)
        report.event("done", session=str(folder.path))
    if not as_json:
        show_status(folder.path)


def attach(session: SessionArgument) -> None:
    """Open the UI on a session whose engine is already running; closing the UI does not stop the engine."""
    from datasets.lock import holder
    from station.session.folder import SessionFolder
    from station.tui.app import run as show

    folder = SessionFolder.open(sessions.find(session))
    if holder(folder.lock) is None:
        raise UsageError(f"No engine runs on {folder.path}. Start one with 'station run {session}'.")
    raise typer.Exit(show(folder.path, folder.path.parent, start_engine=False))


def stop(session: SessionArgument) -> None:
    """Stop the arms of a session at once and keep them stopped, even if no engine or screen responds.

    Reports whether the engine confirms it. Exit code 1 if something is running that does not.
    """
    from station.jobs.stopping import stop as stop_session
    from station.session.folder import SessionFolder

    stopped = stop_session(SessionFolder.open(sessions.find(session)))
    if not stopped.confirmed:
        raise StationError(stopped.sentence)
    say(stopped.sentence)


def serve(
    session: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="Session folder or name.")
    ] = None,
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Show the UI in a browser of this machine (for another machine, tunnel the port through SSH)."""
    from station.browser import LOOPBACK, BrowserServer

    if host not in LOOPBACK:
        say(
            f"Warning: what you type and see crosses the network unencrypted, and anyone who has the address printed "
            f"below can move the robot. An SSH tunnel is safer: ssh -L {port}:localhost:{port} THIS_MACHINE, with "
            "'station serve' on its default host.",
            err=True,
        )
    shown = ["run", str(sessions.find(session)), "--start-on-enter"] if session else ["home"]
    BrowserServer([sys.executable, "-m", "station", *shown], host=host, port=port, say=say).serve()


def home() -> None:
    """Open the UI on the list of sessions."""
    from station.tui.app import run as show

    raise typer.Exit(show(None, sessions.sessions_root()))


def _warn_of_limits(folder: SessionFolder) -> None:
    """Warn before the screen opens; the session's log repeats it."""
    if folder.task.cell.kind == "simulated":
        return
    from station.commands.limits import print_rows
    from station.session.limits import remarks, rows_that_differ, table

    for sentence in remarks(folder):
        say(f"Warning: {sentence}", err=True)
        print_rows(folder, [*rows_that_differ(table(folder))])


def _show(
    folder: SessionFolder,
    options: EngineOptions,
    preparation: list[str] | None = None,
    *,
    start_engine: bool = True,
) -> None:
    """Open the UI on the session; does not return."""
    from station.tui.app import run as show

    sessions_folder = folder.path.parent
    raise typer.Exit(
        show(
            folder.path,
            sessions_folder,
            engine_options=options,
            start_engine=start_engine,
            preparation=preparation,
        )
    )
