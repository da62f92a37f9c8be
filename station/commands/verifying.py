"""``station verify``: checks that a session's files are unchanged since they were written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datasets.errors import ExitCode
from datasets.wording import counted
from station import sessions
from station.commands.options import JsonOption, SessionArgument
from station.errors import in_words
from station.plain import say
from station.reporting import SilentReporter, TerminalReporter

if TYPE_CHECKING:
    from datasets.store import EpisodeStore
    from datasets.verify import SessionReport
    from station.jobs.session_check import FileFault
    from station.session.folder import SessionFolder


def verify(
    session: SessionArgument,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Check sizes only; skip policy, checkpoints and partial/.")
    ] = False,
    look_only: Annotated[bool, typer.Option("--look-only", help="Only report; move nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every episode, checkpoint and journal line; move broken files to quarantine. Nothing is deleted.

    Exit code 1 if anything is damaged. While an engine works on the session, or on a read-only disk, it only reports.
    """
    from datasets import verify as verification
    from datasets.lock import LockedError
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(sessions.find(session))
    with ExitStack() as held:
        busy = ""
        if not look_only:
            try:
                held.enter_context(folder.writing())
            except LockedError as error:
                busy = str(error)
            except OSError as error:  # a read-only or full disk: looking works all the same
                busy = in_words(error)
        with SilentReporter() if as_json else TerminalReporter() as bars:
            report = verification.verify(
                stores(folder), folder.journal, full=not quick, progress=bars.progress
            )
        files = [] if quick else _inspect(folder)
        cut_off = list(_of_partial(folder, full=not quick))
        moved = [] if look_only or busy else _quarantine(folder, report, files)
    if as_json:
        say(json.dumps(_facts(report, files, moved)))
    else:
        for line in (
            *_sentences(report),
            *cut_off,
            *_of_files(files),
            *_verdict(report, files, moved, busy=busy, look_only=look_only),
        ):
            say(line)
    if not (report.ok and not files) and not _is_new(folder):
        raise typer.Exit(ExitCode.FAILED)


def stores(folder: SessionFolder) -> list[EpisodeStore]:
    """The stores that exist."""
    from datasets.store import EpisodeStore

    roots = (folder.demos, folder.episodes)
    return [EpisodeStore(root) for root in roots if (root / "episodes").is_dir()]


def _inspect(folder: SessionFolder) -> list[FileFault]:
    from datasets.journal.journal import Journal, JournalError, Ledger

    if not any(any(place.glob("*")) for place in (folder.base, folder.steering, folder.partial)):
        return []
    from station.jobs import session_check

    try:
        ledger = Journal(folder.journal).ledger()
    except JournalError:
        ledger = Ledger()
    return session_check.inspect(folder, ledger)


def _is_new(folder: SessionFolder) -> bool:
    """Whether nothing was ever written to it."""
    return not folder.journal.exists() and not any(store.ids() for store in stores(folder))


def _quarantine(folder: SessionFolder, report: SessionReport, files: list[FileFault]) -> list[str]:
    """Move broken files, under the lock, and journal that the session continues without them."""
    from datasets.journal.journal import Journal
    from datasets.store import EpisodeStore
    from datasets.verify import renounce, set_aside

    moved = []
    for store in report.stores:
        if store.damaged:
            moved += [str(path) for path in set_aside(EpisodeStore(store.root, writable=True), store)]
    journal = report.journal
    if journal.error is None and (moved or report.absent or journal.torn_bytes):
        writer = Journal(folder.journal, writable=True)
        reasons = {name: store.reason(name) for store in report.stores for name in store.damaged}
        renounce(writer, {**dict.fromkeys(report.absent, "its files are gone"), **reasons})
        moved += [str(writer.torn)] if writer.torn is not None else []
    if files:
        from station.jobs import session_check

        places = [session_check.quarantine(folder, fault) for fault in files]
        moved += [str(place) for place in places if place is not None]
    return moved


def _facts(report: SessionReport, files: list[FileFault], moved: list[str]) -> dict[str, Any]:
    shown = [{"file": str(fault.path), "detail": fault.detail, "loss": fault.loss} for fault in files]
    return {**report.to_json(), "ok": report.ok and not files, "files": shown, "moved": moved}


def _sentences(report: SessionReport) -> Iterator[str]:
    from datasets.manifest import words

    for store in report.stores:
        yield f"{store.root}: {counted(len(store.sound), 'episode')} sound, {len(store.damaged)} damaged."
        yield from (f"  {fault.episode} {fault.file}: {words(fault)}" for fault in store.faults)
        if store.quarantined:
            yield f"  in quarantine: {', '.join(store.quarantined)}"
    journal = report.journal
    lines = counted(journal.lines, "line")
    yield f"{journal.path}: {journal.error or f'{lines}, sound'}"
    if journal.torn_bytes:
        yield f"  an unfinished last line of {journal.torn_bytes} bytes; a writer keeps it beside and cuts it off."
    for seq in journal.orphans:
        yield f"  line {seq} judges an episode that no earlier line has entered."
    for name in report.absent:
        yield f"  {name} is in the journal, but in no store."
    for name in report.unjournaled:
        yield f"  {name} is committed, but not yet in the journal; the next start enters it."
    if report.pruned:
        yield f"  {counted(report.pruned, 'void episode')} pruned; no loss."


def _of_partial(folder: SessionFolder, *, full: bool) -> Iterator[str]:
    from station.session.engine.partial import leftovers, read

    found = leftovers(folder.partial)
    if found:
        yield f"{folder.partial}: {len(found)} cut off, not counted anywhere."
    for left in found if full else ():
        gone = (hole.path.name for hole in read(left)[1] if not hole.path.exists())
        yield from (f"  {left.name} can be reviewed up to {name}, which is missing." for name in gone)


def _of_files(files: list[FileFault]) -> Iterator[str]:
    for fault in files:
        yield f"{fault.path}: {fault.detail}"
        yield f"  lost: {fault.loss}"


def _verdict(
    report: SessionReport, files: list[FileFault], moved: list[str], *, busy: str, look_only: bool
) -> Iterator[str]:
    damaged = [name for store in report.stores for name in store.damaged]
    lost = sorted({*report.lost, *report.absent, *damaged})
    yield from (f"Moved to {place}." for place in moved)
    why = busy or ("--look-only was given." if look_only else "")
    if (report.absent or damaged or files) and why:
        yield f"Nothing was moved or voided: {why}"
    if report.journal.torn_bytes:
        yield "Lost: what the unfinished line said. No command had reported it as done."
    if lost:
        goes = "The session continues without them, as void."
        later = "Run 'station verify' again once it can write; the session then continues without them."
        yield f"Lost: {counted(len(lost), 'episode')} ({', '.join(lost)}). {later if why else goes}"
    elif report.ok and not files and not report.journal.torn_bytes:
        yield "Nothing is lost."
