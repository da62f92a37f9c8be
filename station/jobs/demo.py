"""Everything from an empty folder: record demonstrations, import them, train the base; then the session.

Each stage does only what is missing, so a demo that was interrupted anywhere resumes when
it is started again. The stages are the functions that the individual commands call.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datasets.errors import ExitCode, StationError
from datasets.own_files import make_folder
from station.compute import AUTO
from station.reporting import Reporter
from station.sessions import HEADER_FILE

if TYPE_CHECKING:
    from station.session.folder import SessionFolder

TASK = "place-orange"
HEADLESS_CHUNKS = 3000
"""Default goal of a headless demo: keeps it below 12 minutes on 2 idle cores."""


def open_or_create(path: Path, *, task: str, seed: int | None, own_recordings: bool = False) -> SessionFolder:
    """The session at `path`, created if missing.

    `own_recordings`: demonstrated by the session's seed, even if the task names one for all its sessions.

    Raises:
        StationError: it was made with another seed.
    """
    from station.session.folder import SessionFolder
    from station.tasks.config import load_task
    from station.tasks.shelf import source_of

    if not (path / HEADER_FILE).exists():
        settings = load_task(task)
        if own_recordings:
            by_session = settings.demonstrations.model_copy(update={"seed": None})
            settings = settings.model_copy(update={"demonstrations": by_session})
        return SessionFolder.create(
            path, settings, task_name=settings.name, seed=seed or 0, source=source_of(task)
        )
    folder = SessionFolder.open(path)
    if seed is not None and seed != folder.seed:
        raise StationError(
            f"{path} belongs to seed {folder.seed}, not {seed}. Leave --seed out to continue it, "
            "or name another folder with --session.",
            exit_code=ExitCode.REFUSED,
        )
    return folder


def prepare(folder: SessionFolder, *, reporter: Reporter, device: str = AUTO) -> None:
    """Everything before the first online episode; returns at once if already done."""
    from station.jobs.training import train, trained

    if trained(folder):
        return
    recordings = record(folder, reporter)
    _import(folder, recordings, reporter)
    train(folder, reporter=reporter, device=device)


def record(folder: SessionFolder, reporter: Reporter) -> Path:
    """Record with the scripted demonstrator instead of a person in VR; returns the folder of recordings."""
    from hardware.simulation.demonstrator import record_demonstrations

    settings = folder.task.demonstrations
    target = folder.recordings
    make_folder(target)
    record_demonstrations(
        folder.task.simulation,
        target,
        settings.count,
        folder.seed if settings.seed is None else settings.seed,
        successes_only=settings.successes_only,
        progress=lambda now: reporter.progress("record", now.done, now.total),
    )
    return target


def _import(folder: SessionFolder, recordings: Path, reporter: Reporter) -> None:
    from station.jobs import import_run
    from station.jobs.import_request import ImportRequest

    import_run.run(folder, ImportRequest(paths=[recordings]), reporter)
