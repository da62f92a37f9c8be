"""``station verify`` and ``station export``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from station import sessions
from station.commands.options import JsonOption, SessionArgument, reporter
from station.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from datasets.exporters.interface import ExportReport
    from datasets.exporters.source import ExportSource
    from datasets.store import EpisodeStore
    from datasets.verify import SessionReport
    from station.session.folder import SessionFolder

KINDS = ("demo", "online", "evaluation", "all")


def verify(
    session: SessionArgument,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes only, not contents.")] = False,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move damaged episodes to quarantine; nothing is deleted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every committed episode and the journal. Exit code 1 when something is damaged."""
    from datasets import verify as verification
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(sessions.find(session))
    report = verification.verify(_stores(folder), folder.journal, full=not quick)
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        for line in _sentences(report):
            typer.echo(line)
    if set_aside:
        _set_aside(folder)
    if not report.ok and not _is_new(folder):
        raise typer.Exit(ExitCode.FAILED)


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
        typer.Option("--instruction", help="The task in words, as policies read it; else the task's own."),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an export that exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a session's episodes in another project's format: complete, or not there.

    Interrupted, the same command goes on where it was. A dataset card says what is in it.
    """
    from datasets.exporters import exporter
    from datasets.exporters.source import gather
    from datasets.journal import Journal
    from datasets.selection import Where
    from station.session.folder import SessionFolder

    if kind not in KINDS:
        raise UsageError(f"'{kind}' is no kind of episodes. Choose one of {', '.join(KINDS)}.")
    writer, meant = exporter(form), Where.parse(where)
    if kind != "all":
        meant = Where.parse(f"({where}) and {kind}" if where.strip() else kind)
    folder = SessionFolder.open(sessions.find(session))
    source = gather(
        _stores(folder),
        Journal(folder.journal).ledger(),
        where=meant,
        session=folder.name,
        instruction=instruction or folder.task.description or folder.task_name,
    )
    with reporter(as_json=as_json) as report:
        written = writer.export(
            source, out, force=force, progress=lambda done, total: report.progress("export", done, total)
        )
        facts = {"path": str(written.path), "episodes": written.episodes, "steps": written.steps}
        report.event("done", **facts, resumed=written.resumed, left_out=dict(source.left_out))
    if not as_json:
        typer.echo(_written(written, source))


def _stores(folder: SessionFolder) -> list[EpisodeStore]:
    """Those that are there already."""
    from datasets.store import EpisodeStore

    roots = (folder.demos, folder.episodes)
    return [EpisodeStore(root) for root in roots if (root / "episodes").is_dir()]


def _is_new(folder: SessionFolder) -> bool:
    """Nothing was ever written into it."""
    return not folder.journal.exists() and not any(store.ids() for store in _stores(folder))


def _written(report: ExportReport, source: ExportSource) -> str:
    left = "".join(f", {count} {reason}" for reason, count in sorted(source.left_out.items()))
    resumed = f" ({report.resumed} of them were there already)" if report.resumed else ""
    return f"Wrote {report.episodes} episodes{resumed}, {report.steps} steps to {report.path}{left}."


def _set_aside(folder: SessionFolder) -> None:
    """Under the lock; opening for writing already moves what has the wrong size."""
    from datasets.lock import WriterLock
    from datasets.store import EpisodeStore
    from datasets.verify import set_aside

    with WriterLock(folder.lock):
        for root in [store.root for store in _stores(folder)]:
            store = EpisodeStore(root, writable=True)
            moved = {fault.episode for fault in store.swept}
            moved |= {path.name for path in set_aside(store, store.verify())}
            for name in sorted(moved):
                typer.echo(f"moved to {root / 'quarantine'}: {name}", err=True)


def _sentences(report: SessionReport) -> Iterator[str]:
    for store in report.stores:
        yield f"{store.root}: {len(store.sound)} episodes sound, {len(store.damaged)} damaged."
        yield from (
            f"  {fault.episode} {fault.file}: {fault.damage} {fault.detail}" for fault in store.faults
        )
        if store.quarantined:
            yield f"  in quarantine: {', '.join(store.quarantined)}"
    journal = report.journal
    yield f"{journal.path}: {journal.error or f'{journal.lines} lines, sound'}"
    if journal.torn_bytes:
        yield f"  an unfinished last line of {journal.torn_bytes} bytes; the next writer keeps it beside."
    for name in report.absent:
        yield f"  {name} is in the journal, but in no store."
    for name in report.unjournaled:
        yield f"  {name} is committed, but not yet in the journal; the next start enters it."
