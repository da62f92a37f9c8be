"""``station import``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import StationError
from station import sessions
from station.commands.options import JsonOption, SessionArgument, reporter
from station.plain import say

if TYPE_CHECKING:
    from station.jobs.import_run import Summary

PathsArgument = Annotated[
    list[Path], typer.Argument(help="Files or folders with demonstrations, in any known format.")
]
FormOption = Annotated[str | None, typer.Option("--as", help="Format; default: detected from the structure.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="NAME=VALUE", help="What a column means, e.g. camera.front=KEY; repeatable."
    ),
]
ColourOption = Annotated[str | None, typer.Option("--colour", help="Channel order: rgb or bgr.")]
QuaternionOption = Annotated[str | None, typer.Option("--quaternion", help="Order: xyzw or wxyz.")]
EulerOption = Annotated[str | None, typer.Option("--euler", help="Axes: xyz, zyx, XYZ or ZYX.")]
RateOption = Annotated[
    str | None, typer.Option("--rate", help="Sampling rate in Hz, where no time stamps are stored.")
]
GripperOption = Annotated[
    str | None,
    typer.Option(
        "--gripper", metavar="CLOSED,OPEN", help="Values of the gripper column when closed and open."
    ),
]
FrameOption = Annotated[
    str | None,
    typer.Option("--frame", help="4x4 from the recorder's frame to the arm's base: 16 numbers or a file."),
]
ActionsOption = Annotated[str | None, typer.Option("--actions", help="commanded, achieved or increments.")]
KinematicsOption = Annotated[
    str | None,
    typer.Option("--kinematics", help="For joint angles: xarm6, xarm7, fr3, or a URDF or MJCF file."),
]
InstructionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--instruction",
        help="Which task, if the episodes have several: its instruction, or 'all'; repeatable.",
    ),
]
EpisodesOption = Annotated[
    str | None,
    typer.Option(
        "--episodes",
        help="Only these: numbers, ranges and names (0-9,14,demo_2*); success, failure or unlabelled.",
    ),
]
OutcomeOption = Annotated[
    str | None,
    typer.Option("--outcome", help="Outcome, where the source has none: success, failure or unknown."),
]
AgainOption = Annotated[
    bool,
    typer.Option(
        "--again",
        help="Also reimport known demonstrations: those now read differently replace the old ones.",
    ),
]
LinksOption = Annotated[
    bool, typer.Option("--follow-links", help="Also follow links out of the paths given.")
]
DescribeOption = Annotated[
    bool,
    typer.Option(
        "--describe", help="For files of an unknown format: print a description to fill in; see below."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be imported.")]


def import_recordings(
    session: SessionArgument,
    paths: PathsArgument,
    *,
    form: FormOption = None,
    entries: MapOption = None,
    colour: ColourOption = None,
    quaternion: QuaternionOption = None,
    euler: EulerOption = None,
    rate: RateOption = None,
    gripper: GripperOption = None,
    frame: FrameOption = None,
    actions: ActionsOption = None,
    kinematics: KinematicsOption = None,
    instruction: InstructionOption = None,
    episodes: EpisodesOption = None,
    outcome: OutcomeOption = None,
    again: AgainOption = False,
    follow_links: LinksOption = False,
    describe: DescribeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import demonstrations; broken ones are refused individually, known ones are skipped.

    Files of an unknown format (npz, HDF5, pickled arrays) are read according to a short description:
    station import mine DATA --describe > DATA/import-description.toml; fill it in; station import mine DATA.
    A description kept elsewhere: --as described:FILE.
    """
    from station.jobs import import_run
    from station.jobs.import_request import read_request
    from station.session.folder import SessionFolder

    flags = {
        "colour": colour, "quaternion": quaternion, "euler": euler, "rate": rate, "gripper": gripper,
        "frame": frame, "actions": actions, "kinematics": kinematics, "outcome": outcome,
    }  # fmt: skip
    told = _told(entries, instruction)
    asked = read_request(paths, form, told, flags, again=again, follow_links=follow_links, episodes=episodes)
    folder = SessionFolder.open(sessions.find(session))
    if describe:
        say(*import_run.describe(folder, paths[0]).split("\n"), nl=False)
        return
    with reporter(as_json=as_json) as report:
        summary = (import_run.inspect if dry_run else import_run.run)(folder, asked, report)
    _require_something(summary)


def _told(entries: Sequence[str] | None, instructions: Sequence[str] | None) -> list[str]:
    """Answers in the form of ``--map``."""
    return [*(entries or ()), *(f"instruction={words}" for words in instructions or ())]


def _require_something(summary: Summary) -> None:
    """Fail if the paths, or some of them, yielded nothing. Raises StationError."""
    if summary.refused == summary.total:
        raise StationError("None of the recordings could be imported; see the reasons above.")
    if summary.empty:
        raise StationError(f"Nothing to import at {', '.join(map(str, summary.empty))}; the rest is done.")
