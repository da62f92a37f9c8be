"""Which episodes to import: found at the given paths, then filtered.

Each path without recordings is reported. If the episodes have several instructions, the question which one
to use is asked once, and its answer is kept with the session's other answers.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.errors import UsageError
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.findings import Answers, Finding, Outline
from datasets.importers.interface import Source
from datasets.importers.read import choice
from datasets.importers.read.reader import refusal
from datasets.importers.read.registry import suffixes
from datasets.wording import counted

if TYPE_CHECKING:
    from station.jobs.import_request import ImportRequest
    from station.session.folder import SessionFolder

_MOST_FILES = 10_000
_MOST_KINDS = 5

Found = Source | Finding


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The sources of an import."""

    found: list[Found]
    empty: tuple[Path, ...] = ()
    """Paths given that hold nothing readable."""
    passed_over: int = 0
    """Episodes not selected."""
    task: Outline | None = None
    """Which of several tasks to import: the question, open or answered; None where there is one task."""

    @property
    def unanswered(self) -> Outline | None:
        """The question while it is open."""
        return self.task if self.task is not None and self.task.open else None


def find(folder: SessionFolder, request: ImportRequest, reader: Any, answers: Answers) -> Sources:
    """All selected episodes at the given paths, except the session's own.

    Raises:
        UsageError: nothing there, or nothing selected.
    """
    for path in request.paths:
        if not path.exists():
            raise UsageError(f"There is nothing at {path}. Give a file or a folder with demonstrations.")
    own = {folder.demos.resolve(), folder.episodes.resolve()}
    found: list[Found] = []
    empty: dict[Path, str] = {}
    for path in request.paths:
        here: list[Found] = reader.find([path], request.form, follow=request.follow_links)
        others = [source for source in here if source.path.resolve() not in own]
        found += others
        if not others:
            empty[path] = _own_only(path) if here else _nothing(path, request.form)
    if not found:
        raise UsageError(" ".join(empty.values()))
    refused = [_refused(path, said) for path, said in empty.items()]
    try:
        sources = _chosen(found, request, reader, answers)
    except choice.ChoiceError as error:
        raise UsageError(str(error)) from error
    return replace(sources, found=[*sources.found, *refused], empty=tuple(empty))


def _chosen(found: list[Found], request: ImportRequest, reader: Any, answers: Answers) -> Sources:
    chosen = choice.by_episodes(found, request.choice.episodes, reader.success)
    question = choice.mixed(chosen)
    wanted = request.choice.instructions
    if question is None:
        chosen = choice.by_instruction(chosen, wanted) if wanted else chosen
        return Sources(found=chosen, passed_over=len(found) - len(chosen))
    name, asked = question
    saved = answers.get(name, {}).get("instruction", "")
    given = wanted or tuple(part for part in saved.split(choice.SEVERAL) if part)
    task = choice.outline_of(name, asked, choice.SEVERAL.join(given) or None)
    if given:
        chosen = choice.by_instruction(chosen, given)
    return Sources(found=chosen, passed_over=len(found) - len(chosen), task=task)


def _refused(path: Path, said: str) -> Finding:
    return refusal(path, "", RefusedError(Defect.UNREADABLE, said))


def _own_only(path: Path) -> str:
    return f"In {path} are only episodes that this session has already."


def _nothing(path: Path, form: str | None) -> str:
    """Why nothing at a path is readable, and what is there."""
    if form is not None:
        return (
            f"No recording of the format {form} in {path}{_instead(path)}. "
            f"Without --as {form} the format is recognised by the structure."
        )
    return (
        f"No recording in {path}{_instead(path)}. Files that are read end in {', '.join(suffixes())}; "
        "LeRobot, DROID and zarr data sets are named by their folder. For arrays in a format "
        "of your own, such as npz: station import SESSION PATH --describe."
    )


def _instead(path: Path) -> str:
    """A folder's contents, by kind of file."""
    if not path.is_dir():
        return ""
    kinds = Counter(_kind(name) for name in _names(path))
    if not kinds:
        return ", an empty folder"
    listed = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(_MOST_KINDS))
    return f", which holds {counted(sum(kinds.values()), 'file')} ({listed})"


def _names(folder: Path) -> Iterator[str]:
    seen = 0
    for _, _, files in os.walk(folder):
        yield from files[: _MOST_FILES - seen]
        seen += len(files)
        if seen >= _MOST_FILES:
            return


def _kind(name: str) -> str:
    suffix = Path(name).suffix
    return suffix.lower() if suffix[1:].isalnum() else "without a suffix"
