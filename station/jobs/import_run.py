"""Imports foreign demonstrations into a session, under its lock, and reports each.

`datasets.importers` decides what is read, refused and trimmed; this module only brings session and importers
together and saves the user's answers.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.errors import UsageError
from datasets.importers.defects import Question, RefusedError
from datasets.importers.enter.intake import ImportResult, Intake, inspect_all
from datasets.importers.findings import Answers, Finding, Look, Outline
from datasets.importers.import_history import ImportHistory
from datasets.importers.map import answers as answer_file
from datasets.importers.mapping import for_every_arm
from datasets.importers.read.choice import PREFIX
from datasets.importers.read.registry import suffixes
from datasets.importers.read.worker import isolated_reader
from datasets.journal.journal import Journal
from datasets.store import EpisodeStore
from datasets.wording import counted
from station.jobs.import_request import OUTCOMES, ImportRequest
from station.jobs.import_sources import Sources, find
from station.reporting import Reporter

if TYPE_CHECKING:
    from station.session.folder import SessionFolder


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Outcome for all sources."""

    imported: int = 0
    duplicates: int = 0
    refused: int = 0
    empty: tuple[Path, ...] = ()
    """Paths that hold nothing readable."""

    @property
    def total(self) -> int:
        """Sources examined."""
        return self.imported + self.duplicates + self.refused


def describe(folder: SessionFolder, path: Path) -> str:
    """A description of files of an unknown format at `path`, to fill in for this session's task.

    Raises:
        UsageError: no file there holds arrays, or none can be read.
    """
    with isolated_reader() as reader:
        try:
            return reader.describe(path, folder.task.cell.spec)
        except RefusedError as error:
            raise UsageError(f"{path}: {error}.") from error


def kinds() -> tuple[str, ...]:
    """Suffixes of importable files, for file choosers."""
    return suffixes()


def inspect(folder: SessionFolder, request: ImportRequest, reporter: Reporter) -> Summary:
    """Report what an import would do with each source, down to the last image; writes nothing.

    Raises:
        UsageError: nothing to import. AnswersError, UnknownFormatError.
    """
    answers = _answers(folder, request)
    tally = _Tally(reporter, request)
    is_new = not folder.demos.is_dir()
    history = None if is_new else ImportHistory(EpisodeStore(folder.demos), Journal(folder.journal))
    with isolated_reader() as reader:
        sources = find(folder, request, reader, answers)
        tally.begin(sources, answers)
        looks = inspect_all(
            sources.found,
            folder.task.cell.spec,
            answers,
            reader,
            history,
            again=request.again,
            declared=request.declared,
            unanswered=sources.unanswered,
        )
        for done, look in enumerate(looks, start=1):
            tally.outline(look.outline, answers)
            tally.count(look.finding, duplicate=look.known is not None)
            reporter.event("finding", **facts(look), asked=tally.asked(look.finding))
            reporter.progress("inspect", done, len(sources.found))
    reporter.event("done", inspected=len(sources.found), **tally.report())
    return tally.summary


def run(folder: SessionFolder, request: ImportRequest, reporter: Reporter) -> Summary:
    """Import source by source; every reported result is on disk.

    Raises:
        UsageError: nothing to import. AnswersError, UnknownFormatError.
        LockedError: an engine or another command works on the session.
        DiskFullError: the disk is full; run it again later.
    """
    answers = _answers(folder, request)
    tally = _Tally(reporter, request)
    with folder.writing(), isolated_reader() as reader:
        store, journal = EpisodeStore(folder.demos, writable=True), Journal(folder.journal, writable=True)
        store.sweep(journal.ledger())
        intake = Intake(store, journal)
        sources = find(folder, request, reader, answers)
        if tally.begin(sources, answers):
            _remember_task(folder, sources)
        results = intake.run(
            sources.found,
            folder.task.cell.spec,
            answers,
            reader,
            again=request.again,
            declared=request.declared,
            unanswered=sources.unanswered,
        )
        for done, result in enumerate(results, start=1):
            if tally.outline(result.outline, answers):
                _remember(folder, tally.outlines, answers)
            tally.count(result.finding, duplicate=result.duplicate)
            reporter.event("result", **_outcome(result), asked=tally.asked(result.finding))
            reporter.progress("import", done, len(sources.found))
    reporter.event("done", **tally.report())
    return tally.summary


class _Tally:
    """Counts outcomes, and reports each structure of sources once."""

    def __init__(self, reporter: Reporter, request: ImportRequest) -> None:
        self._reporter = reporter
        self._request = request
        self._counts: Counter[str] = Counter()
        self._defects: Counter[tuple[str, str]] = Counter()
        self._asked: set[str] = set()
        self._sources = Sources(found=[])
        self.outlines: dict[str, Outline] = {}

    def begin(self, sources: Sources, answers: Answers) -> bool:
        """Remember the sources; returns whether the choice among several tasks is answered, which is reported first."""
        self._sources = sources
        settled = sources.task is not None and not sources.task.open
        if settled:
            self.outline(sources.task, answers)
        return settled

    def outline(self, outline: Outline | None, answers: Answers) -> bool:
        """Report how a structure is read; returns whether it was new."""
        if outline is None or outline.structure in self.outlines:
            return False
        self.outlines[outline.structure] = outline
        self._asked.add("; ".join(question.sentence for question in outline.open))
        saved = answers.get(outline.structure, {})
        self._reporter.event(
            "mapping", **_with_outcome(outline_facts(outline, saved), outline, self._request)
        )
        return True

    def asked(self, finding: Finding) -> bool:
        """Whether it is refused only for questions already shown with the mapping."""
        return bool(finding.refused) and finding.refused in self._asked

    def count(self, finding: Finding, *, duplicate: bool) -> None:
        """Count one source."""
        kind = "refused" if finding.refused else "duplicates" if duplicate else "imported"
        self._counts[kind] += 1
        self._defects.update({(note.defect.value, note.treatment.value) for note in finding.defects})

    @property
    def summary(self) -> Summary:
        return Summary(**self._counts, empty=self._sources.empty)

    def report(self) -> dict[str, Any]:
        """Counts of sources, and of sources per defect and treatment."""
        defects: dict[str, dict[str, int]] = {}
        for (defect, treatment), number in sorted(self._defects.items()):
            defects.setdefault(defect, {})[treatment] = number
        summary = self.summary
        return {
            "imported": summary.imported,
            "duplicates": summary.duplicates,
            "refused": summary.refused,
            "passed_over": self._sources.passed_over,
            "defects": defects,
        }


def _answers(folder: SessionFolder, request: ImportRequest) -> Answers:
    return {**answer_file.load(folder.path / answer_file.NAME), "": dict(request.answers or {})}


def _remember(folder: SessionFolder, outlines: dict[str, Outline], answers: Answers) -> None:
    """What was answered counts for the structures that were met, and is not asked again."""
    given = answers.get("", {})
    of_columns = {name: outline for name, outline in outlines.items() if not name.startswith(PREFIX)}
    merged = {structure: {**answers.get(structure, {}), **given} for structure in of_columns}
    answer_file.save(folder.path / answer_file.NAME, of_columns, merged)


def _remember_task(folder: SessionFolder, sources: Sources) -> None:
    """Save which of several tasks to use, for these tasks."""
    task = sources.task
    assert task is not None
    (answer,) = task.settled.values()
    answer_file.save(
        folder.path / answer_file.NAME, {task.structure: task}, {task.structure: {"instruction": answer}}
    )


def outline_facts(outline: Outline, saved: dict[str, str]) -> dict[str, Any]:
    """An outline in plain JSON types; `pixels` are base64 of uint8 [height, width, 3] in the source's colours."""
    told = {**dict.fromkeys(outline.answered, "given"), **dict.fromkeys(saved, "saved")}
    origins = {name: told.get(for_every_arm(name)) for name in outline.entries} | told
    return {
        "structure": outline.structure,
        "format": outline.format,
        "entries": [
            {"name": name, "value": value, "origin": origins.get(name) or "proposed"}
            for name, value in outline.entries.items()
        ],
        "questions": [question.to_json() for question in outline.open],
        "settled": [question.to_json() | {"value": value} for question, value in outline.settled.items()],
        "columns": outline.columns,
        "depth": list(outline.depth),
        "cameras": {name: list(size) for name, size in outline.cameras.items()},
        "images": {
            name: {
                "height": image.shape[0],
                "width": image.shape[1],
                "pixels": base64.b64encode(image.tobytes()).decode(),
            }
            for name, image in outline.images.items()
        },
    }


def _with_outcome(facts: dict[str, Any], outline: Outline, request: ImportRequest) -> dict[str, Any]:
    """Add the question whether unlabelled demonstrations succeeded; it does not block the import."""
    if not outline.unlabelled:
        return facts
    question = _SUCCEEDED.to_json()
    if request.outcome is None:
        return {**facts, "questions": [*facts["questions"], question]}
    return {**facts, "settled": [*facts["settled"], question | {"value": request.outcome}]}


_SUCCEEDED = Question(
    name="outcome",
    text="the source does not say whether these demonstrations succeeded, and training uses successes",
    choices=OUTCOMES,
    optional=True,
)


def facts(look: Look) -> dict[str, Any]:
    """The findings in plain JSON types."""
    finding = look.finding
    return {
        "file": finding.label,
        "format": finding.format,
        "usable": finding.refused is None,
        "detail": finding.refused or (_in_words(finding) if look.known is None else _known_in_words(look)),
        "duplicate": look.known is not None,
        "replaces": list(look.replaces),
        "steps": finding.steps,
        "ticks": finding.ticks,
        "seconds": round(finding.ticks / finding.rate, 2) if finding.rate else 0.0,
        "idle": finding.idle,
        "clutch_off": finding.clutch_off,
        "success": finding.success,
        "style": finding.style,
        "notes": list(finding.notes),
        "defects": [note.to_json() for note in finding.defects],
    }


def _outcome(result: ImportResult) -> dict[str, Any]:
    return {
        "file": result.finding.label,
        "format": result.finding.format,
        "episode": result.episode,
        "refused": result.refused,
        "duplicate": result.duplicate,
        "kept": result.finding.kept,
        "dropped": result.finding.dropped,
        "steps": result.finding.steps,
        "detail": result.refused or "; ".join(result.finding.notes),
        "defects": [note.to_json() for note in result.finding.defects],
    }


def _known_in_words(look: Look) -> str:
    return "; ".join(look.finding.notes) or f"imported before as {look.known}"


def _in_words(finding: Finding) -> str:
    label = {True: "success", False: "failure", None: "no label"}[finding.success]
    parts = [
        f"{counted(finding.steps, 'step')} from {counted(finding.ticks, 'sample')} at {finding.rate:.0f} Hz",
        label,
        f"{finding.idle} idle and {finding.clutch_off} clutch-off samples dropped",
        *finding.notes,
    ]
    return ", ".join(parts)


def mapping_in_words(facts: dict[str, Any]) -> list[str]:
    """How a structure of sources is read, one line per entry, and the open questions."""
    is_choice = facts["structure"].startswith(PREFIX)
    lines = [
        "the episodes' instructions" if is_choice else f"{facts['format']}: how these sources are understood"
    ]
    lines += [f"  {question['name']}  {question['value']}" for question in facts["settled"] if is_choice]
    width = max((len(entry["name"]) for entry in facts["entries"]), default=0)
    lines += [
        f"  {entry['name']:<{width}}  {entry['value']}  ({entry['origin']})" for entry in facts["entries"]
    ]
    if facts["depth"]:
        lines.append(f"  depth, which no task camera uses: {', '.join(facts['depth'])}")
    lines += [f"  ? {question['text']}: say {question['flag']}" for question in facts["questions"]]
    if not is_choice and any(not question["optional"] for question in facts["questions"]):
        lines.append(f"  its columns: {columns_in_words(facts)}")
        lines.append("  'station guide importing' shows these flags, format by format")
    return lines


def columns_in_words(facts: dict[str, Any]) -> str:
    """A structure's columns, each with its size."""
    return ", ".join(f"{name} [{count}]" for name, count in facts["columns"].items()) or "none"


def report_in_words(facts: dict[str, Any]) -> list[str]:
    """The counts at the end, as a table, line by line."""
    known = ("repaired", "warning", "refused")
    words = {"imported": "imported", "duplicates": "duplicates", "refused": "refused"}
    if "inspected" in facts:
        words = {
            "imported": "would be imported",
            "duplicates": "known already",
            "refused": "would be refused",
        }
    head = ", ".join(f"{facts[kind]} {word}" for kind, word in words.items() if kind in facts)
    if facts.get("passed_over"):
        head += f", {facts['passed_over']} not chosen"
    if not facts["defects"]:
        return [head]
    width = max(len(defect) for defect in facts["defects"])
    lines = [head, f"{'':<{width}}  " + "  ".join(f"{kind:>8}" for kind in known)]
    for defect, counts in facts["defects"].items():
        lines.append(f"{defect:<{width}}  " + "  ".join(f"{counts.get(kind, 0) or '':>8}" for kind in known))
    return lines
