"""The ``station`` command: names, arguments, exit codes. Each command's work lives in `station.commands`.

Nothing heavy is imported here: ``station --help`` and shell completion are instant, and torch, MuJoCo and Textual
are imported by the commands that need them.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from datasets.errors import ExitCode
from station.commands import (
    bench,
    data,
    guiding,
    importing,
    judging,
    learning,
    limits,
    live,
    machine,
    making,
    policy,
    pruning,
    reviewing,
    verifying,
)
from station.errors import Refusal, refusal
from station.interruption import ended_by, exit_code, interruptible, signal_of
from station.plain import ReaderGoneError, say, terminal, visible
from station.tether import leave_with_parent
from station.trust import grant, grant_owners

EPILOG = (
    "Exit codes: 0 done, 1 failed or damage found, 2 wrong arguments, 3 the session is held by another process, "
    "4 refused (e.g. written by a newer version), 129, 130 and 143 ended by SIGHUP, SIGINT (Ctrl-C) and SIGTERM, "
    "141 the reader of the output closed the pipe. "
    "SESSION is a folder or a name under $STATION_SESSIONS (default ./sessions)."
)


class StationGroup(TyperGroup):
    """Ends a command that fails with one sentence and an exit code instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        interruptible()
        try:
            return self._invoke(ctx)
        except ReaderGoneError:
            raise typer.Exit(ExitCode.READER_GONE) from None

    def _invoke(self, ctx: Any) -> Any:
        as_json = "--json" in sys.argv or "--json" in (*ctx.args, *getattr(ctx, "_protected_args", ()))
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            told = _interrupted(signal_of(error))
            _tell(told, as_json=as_json)
            raise typer.Exit(told.exit_code) from None
        except Exception as error:
            known = refusal(error)
            if known is None:
                raise
            _tell(known, as_json=as_json)
            raise typer.Exit(known.exit_code) from error


def _interrupted(number: signal.Signals) -> Refusal:
    how = "" if number is signal.SIGINT else f" by {number.name}"
    return Refusal(
        lines=(f"Interrupted{how}. Finished work is safe on disk; the same command continues from there.",),
        exit_code=ExitCode(exit_code(number)),
    )


def _tell(known: Refusal, *, as_json: bool) -> None:
    if as_json:
        kind = "interrupted" if ended_by(known.exit_code) else "error"
        line = {"event": kind, "message": known.message, "exit_code": int(known.exit_code)}
        say(json.dumps(line))
        return
    from rich.panel import Panel
    from rich.text import Text

    terminal(stderr=True).print(
        Panel(
            Text("\n".join(map(visible, known.lines))),
            title="station",
            title_align="left",
            border_style="red",
        )
    )


app = typer.Typer(
    name="station",
    cls=StationGroup,
    help="Train a robot policy at a terminal: import demonstrations, train the base, steer it with your keys.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_START, _WORK, _DATA, _MACHINE = "Begin", "Work with a session", "Data", "Machine"


@app.callback()
def common(
    trust: Annotated[
        list[str] | None,
        typer.Option(
            "--trust",
            metavar="MODULE:CLASS",
            help="Your own class that a task or session file may name; without it, such a file is refused.",
        ),
    ] = None,
    trust_owner: Annotated[
        list[str] | None,
        typer.Option(
            "--trust-owner",
            metavar="USER",
            help="Treat sessions of this user as your own; without it, they are read-only.",
        ),
    ] = None,
) -> None:
    """See the help of the group."""
    if trust:
        grant(trust)
    if trust_owner:
        grant_owners(trust_owner)


app.command("demo", rich_help_panel=_START)(live.demo)
app.command("home", rich_help_panel=_START)(live.home)
app.command("new", rich_help_panel=_START)(making.new)
app.command("guide", rich_help_panel=_START)(guiding.guide)
app.command("tasks", rich_help_panel=_START)(making.tasks)
app.command("settings", rich_help_panel=_START)(making.settings)
app.command("import", rich_help_panel=_WORK)(importing.import_recordings)
app.command("train", rich_help_panel=_WORK)(learning.train)
app.command("run", rich_help_panel=_WORK)(live.run)
app.command("attach", rich_help_panel=_WORK)(live.attach)
app.command("stop", rich_help_panel=_WORK)(live.stop)
app.command("limits", rich_help_panel=_WORK)(limits.limits)
app.command("eval", rich_help_panel=_WORK)(learning.evaluate)
app.command("status", rich_help_panel=_WORK)(judging.status)
app.command("label", rich_help_panel=_WORK)(judging.label)
app.command("review", rich_help_panel=_DATA)(reviewing.review)
app.command("verify", rich_help_panel=_DATA)(verifying.verify)
app.command("prune", rich_help_panel=_DATA)(pruning.prune)
app.command("export", rich_help_panel=_DATA)(data.export)
app.command("serve", rich_help_panel=_MACHINE)(live.serve)
app.command("policy-server", rich_help_panel=_MACHINE)(policy.policy_server)
app.command("doctor", rich_help_panel=_MACHINE)(machine.doctor)
app.add_typer(bench.app, name="bench", rich_help_panel=_MACHINE)


def main() -> None:
    """Entry point of the console script."""
    # Torch's threads must sleep while they wait: spinning, they starve cells and UI, and training
    # on two busy cores becomes several times slower. Read once, when torch is loaded; children inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    leave_with_parent()
    _warn_of_little_room()
    app()


def _warn_of_little_room() -> None:
    """Libraries crash, hang or fail to load in a small address space; `stop` must work all the same."""
    room, _ = resource.getrlimit(resource.RLIMIT_AS)
    if room != resource.RLIM_INFINITY and room < _ROOM:
        say(
            f"Warning: this shell allows a program {room / 1e6:.0f} MB of address space, and libraries crash with less "
            f"than {_ROOM / 1e6:.0f} MB. Lift the limit: ulimit -v unlimited",
            err=True,
        )


_ROOM = 2_000_000_000
"""Bytes."""
