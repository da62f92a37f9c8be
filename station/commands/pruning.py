"""``station prune``: the one command that deletes, and only what it has named and an operator has confirmed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.wording import counted
from station import sessions
from station.commands.options import JsonOption, SessionArgument
from station.plain import say

if TYPE_CHECKING:
    from station.jobs.pruning import Piece, Plan

_DAY = 86400.0


def prune(
    session: SessionArgument,
    *,
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than",
            min=0.0,
            help="Only what was voided, cut off or quarantined more than this many days ago.",
        ),
    ] = 30.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be deleted; delete nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete void episodes, cut-off episodes and old quarantine, after confirmation. The journal keeps its lines.

    With --json, nothing is deleted without --yes.
    """
    from station.jobs import pruning
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(sessions.find(session))
    wanted = pruning.plan(folder, before=time.time() - older_than * _DAY)
    asked = yes or as_json
    if not as_json:
        for line in _sentences(wanted, older_than):
            say(line)
    if dry_run or not wanted.pieces or (as_json and not yes):
        gone = None
    else:
        if not asked:
            typer.confirm("Delete this for good?", abort=True)
        with folder.writing():
            gone = pruning.carry_out(folder, wanted)
    if as_json:
        say(json.dumps({"deleted": gone is not None, **(gone or wanted).to_json()}))
    elif gone is not None:
        say(f"Deleted {len(gone.pieces)} of them, {_megabytes(gone.size)}. The journal keeps their lines.")


def _sentences(plan: Plan, days: float) -> Iterator[str]:
    groups: dict[str, tuple[Piece, ...]] = {
        "void episode{}": plan.void,
        "episode{} cut off": plan.partial,
        "file{} in quarantine": plan.quarantined,
    }
    for what, pieces in groups.items():
        if pieces:
            words = what.format("" if len(pieces) == 1 else "s")
            yield f"{len(pieces)} {words}, {_megabytes(sum(piece.size for piece in pieces))}:"
            yield from (f"  {piece.path}" for piece in pieces)
    if plan.needed:
        stay = "stays" if len(plan.needed) == 1 else "stay"
        yield (
            f"{counted(len(plan.needed), 'void episode')} {stay} until the learner has finished three more "
            "update blocks without them."
        )
    if plan.young:
        stay = "stays" if len(plan.young) == 1 else "stay"
        yield (
            f"{counted(len(plan.young), 'void episode')} {stay}: voided less than {days:g} days ago; "
            "--older-than 0 takes those too."
        )
    elif not plan.pieces:
        yield f"Nothing was voided, cut off or quarantined more than {days:g} days ago."
    if plan.pieces:
        yield f"This would free {_megabytes(plan.size)}."


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
