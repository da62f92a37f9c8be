"""``station export``: a session's episodes in the format of another project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import UsageError
from datasets.wording import counted
from station import sessions
from station.commands.options import JsonOption, SessionArgument, reporter
from station.commands.verifying import stores
from station.plain import say

if TYPE_CHECKING:
    from datasets.exporters.interface import ExportReport
    from datasets.exporters.source import ExportSource

KINDS = ("demo", "online", "evaluation", "all")


def export(
    session: SessionArgument,
    *,
    out: Annotated[Path, typer.Option("--out", help="File (robomimic) or folder (the others) to write.")],
    form: Annotated[
        str, typer.Option("--format", help="lerobot | robomimic | diffusion-policy | zarr (as is).")
    ] = "robomimic",
    where: Annotated[
        str,
        typer.Option(
            "--where", help='Which episodes, e.g. "success and version>=3 and date>=2026-11-01 and online".'
        ),
    ] = "",
    kind: Annotated[str, typer.Option("--kind", help=" | ".join(KINDS))] = "all",
    instruction: Annotated[
        str,
        typer.Option("--instruction", help="Language instruction to store; default: the task's own."),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing export.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a session's episodes in another project's format: complete or not at all.

    If interrupted, the same command resumes. A dataset card describes the contents.
    """
    from datasets.exporters import exporter
    from datasets.exporters.source import gather
    from datasets.journal.journal import Journal
    from datasets.selection import Where
    from station.session.folder import SessionFolder

    if kind not in KINDS:
        raise UsageError(f"Unknown kind of episode '{kind}'. Choose one of {', '.join(KINDS)}.")
    writer, meant = exporter(form), Where.parse(where)
    if kind != "all":
        meant = Where.parse(f"({where}) and {kind}" if where.strip() else kind)
    folder = SessionFolder.open(sessions.find(session))
    source = gather(
        stores(folder),
        Journal(folder.journal).ledger(),
        where=meant,
        session=folder.name,
        instruction=instruction or folder.words,
    )
    with reporter(as_json=as_json) as report:
        written = writer.export(
            source, out, force=force, progress=lambda done, total: report.progress("export", done, total)
        )
        facts = {"path": str(written.path), "episodes": written.episodes, "steps": written.steps}
        report.event("done", **facts, resumed=written.resumed, left_out=dict(source.left_out))
    if not as_json:
        say(_written(written, source))


def _written(report: ExportReport, source: ExportSource) -> str:
    left = "".join(f", {count} {reason}" for reason, count in sorted(source.left_out.items()))
    resumed = f" ({report.resumed} of them written earlier)" if report.resumed else ""
    episodes, steps = counted(report.episodes, "episode"), counted(report.steps, "step")
    return f"Wrote {episodes}{resumed}, {steps} to {report.path}{left}."
