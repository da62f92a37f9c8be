"""The check of a format to write, on a small made-up session."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.exporters import EXPORTERS
from datasets.exporters.error import ExportError
from datasets.exporters.interface import Exporter, ExportReport, Progress
from datasets.exporters.source import ExportSource, gather
from datasets.exporters.staging import CARD, Workplace
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, Labelled
from datasets.observation import FloatArray
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore
from station.testing.contract import Contract

_SPEC = DataSpec(
    cameras=(CameraSpec(name="third", height=16, width=20), CameraSpec(name="wrist", height=16, width=16)),
    proprioception=("joint_1", "joint_2", "gripper"),
    action=ActionSpec(),
    control_hz=10.0,
)
_OUTCOMES = (Outcome.SUCCESS, Outcome.FAILURE, None)
_STEPS = 6

ReadBack = Callable[[Path], Sequence[int]]


class _CutOffError(KeyboardInterrupt):
    """Ctrl+C here; a kill leaves the same behind."""


def check_exporter(kind: type[Exporter], *, read: ReadBack | None = None, repeatable: bool = True) -> None:
    """Check an exporter: complete or not there, resumed where it was, nothing replaced unasked, nothing left behind.

    `read`: loads an export as its users would and gives the steps of each episode, in order. `repeatable`: whether two
    exports of one source are equal byte for byte.

    Raises:
        AssertionError: it breaks its contract; says how, and where that is written.
    """
    contract = Contract(subject=kind.__name__, interface="datasets.exporters.interface.Exporter")
    with tempfile.TemporaryDirectory(prefix="station-check-") as folder:
        check = _Check(contract, kind, Path(folder), repeatable=repeatable)
        check.declared()
        check.whole(read)
        check.interrupted()
        check.put_together_again()
        check.of_another_source()
        check.replacing()
        check.of_several_specs()


class _Check:
    """One exporter under test."""

    def __init__(self, contract: Contract, kind: type[Exporter], folder: Path, *, repeatable: bool) -> None:
        self.contract, self.kind, self.repeatable = contract, kind, repeatable
        self.folder = folder
        self.source = _source(folder / "session")
        self.straight = self._place("straight")

    def _place(self, name: str) -> Path:
        """A destination in a folder of its own, so that all that an export leaves can be seen."""
        place = self.folder / name
        place.mkdir()
        return place / "data.set"

    def _export(self, out: Path, when: str, progress: Progress | None = None) -> ExportReport:
        try:
            return self.kind().export(self.source, out, progress=progress)
        except ExportError as error:
            self.contract.require(False, f"{when}, it fails: {error}", "export")
            raise

    def declared(self) -> None:
        contract, kind = self.contract, self.kind
        name = str(getattr(kind, "name", ""))
        contract.require(
            re.fullmatch(r"[a-z0-9][a-z0-9-]*", name),
            f"its name is '{name}'; use lower-case letters, digits and hyphens",
            "name",
        )
        contract.require(
            EXPORTERS.get(name, kind) is kind, f"its name '{name}' is another format's already", "name"
        )
        for attribute in ("description", "single", "reading"):
            contract.require(hasattr(kind, attribute), f"it has no {attribute}", attribute)
        contract.require(kind.description, "it has no description", "description")
        shown = "".join(re.findall(r"\{([a-z]+)\}", kind.reading))
        contract.require(
            "{name}" in kind.reading and shown.replace("name", "") == "",
            "its reading does not say how to load {name}",
            "reading",
        )

    def whole(self, read: ReadBack | None) -> None:
        """What an export consists of, and that the session is as it was."""
        contract, before = self.contract, _bytes(self.folder / "session")
        seen: list[tuple[int, int]] = []
        report = self._export(self.straight, "from nothing", progress=lambda *done: seen.append(done))
        total = len(_OUTCOMES)
        contract.require(
            (report.path, report.episodes, report.resumed) == (self.straight, total, 0),
            f"its report is {report}",
            "export",
        )
        contract.require(
            seen == [(done + 1, total) for done in range(total)], f"it reports the progress {seen}", "export"
        )
        contract.require(
            self.straight.is_file() if self.kind.single else self.straight.is_dir(),
            f"it says single = {self.kind.single}, and writes {'no file' if self.kind.single else 'no folder'}",
            "finish",
        )
        contract.require(_bytes(self.folder / "session") == before, "it changed the session", "add")
        self._require_alone(self.straight)
        card = (
            self.straight.with_name(f"{self.straight.stem}.{CARD}")
            if self.kind.single
            else self.straight / CARD
        )
        contract.require(
            self.straight.name in card.read_text(), f"its card {card.name} does not name it", "reading"
        )
        if read is not None:
            steps = list(read(self.straight))
            wanted = [entry.steps for entry in self.source.entries]
            contract.require(
                steps == wanted, f"read back, its episodes have {steps} steps, not {wanted}", "add"
            )

    def _require_alone(self, out: Path) -> None:
        """The export is there, and nothing else."""
        self.contract.require(out.exists(), f"nothing is at {out.name} after an export", "finish")
        left = sorted(path.name for path in out.parent.iterdir() if path != out)
        card = [f"{out.stem}.{CARD}"] if self.kind.single else []
        self.contract.require(
            left == card,
            f"beside the export it leaves {sorted(set(left) - set(card))}; write in the workplace",
            "add",
        )

    def interrupted(self) -> None:
        """Killed in the middle of an episode: nothing is there; the next attempt continues, to the same result."""
        contract, out = self.contract, self._place("interrupted")
        contract.refuses(
            _CutOffError, lambda: _cut_off(self.kind, after=1)().export(self.source, out), "cut off", "add"
        )
        contract.require(not out.exists(), "cut off, it leaves an incomplete export", "export")
        seen: list[tuple[int, int]] = []
        report = self._export(out, "resumed after a kill", progress=lambda *done: seen.append(done))
        contract.require(
            report.resumed == 1 and seen == [(2, 3), (3, 3)],
            f"after one of three episodes it resumes with {report.resumed} and {seen}",
            "export",
        )
        self._require_same(out, "resumed after a kill")

    def _require_same(self, out: Path, when: str) -> None:
        if self.repeatable:
            different = [
                name for name, data in _bytes(self.straight).items() if _bytes(out).get(name) != data
            ]
            self.contract.require(
                not different and len(_bytes(out)) == len(_bytes(self.straight)),
                f"{when}, its export differs from one that was never cut off: {different or 'it has more files'}. Keep "
                "no state in the instance; begin an episode again from nothing",
                "add",
            )
        self._require_alone(out)

    def put_together_again(self) -> None:
        """Killed after `finish`: it is done again, by another process."""
        contract, out = self.contract, self._place("finished")
        contract.refuses(
            _CutOffError,
            lambda: _cut_off(self.kind, finishing=True)().export(self.source, out),
            "cut off",
            "finish",
        )
        contract.require(not out.exists(), "cut off, it leaves an incomplete export", "finish")
        report = self._export(out, "finished twice")
        contract.require(
            report.resumed == len(_OUTCOMES), f"it resumes with {report.resumed} episodes", "finish"
        )
        self._require_same(out, "finished twice")

    def of_another_source(self) -> None:
        """What was left of other episodes is not taken up."""
        contract, out = self.contract, self._place("relabelled")
        contract.refuses(
            _CutOffError, lambda: _cut_off(self.kind, after=1)().export(self.source, out), "cut off", "add"
        )
        other = _source(self.folder / "other", outcomes=(Outcome.FAILURE,) * 3)
        report = self.kind().export(other, out)
        contract.require(report.resumed == 0, "it takes up what it left of another source", "export")
        self._require_alone(out)

    def replacing(self) -> None:
        """Nothing is replaced unasked; with force, exports alone are."""
        contract, out, before = self.contract, self.straight, _bytes(self.straight)
        contract.refuses(ExportError, lambda: self.kind().export(self.source, out), "over another", "export")
        contract.require(_bytes(out) == before, "it replaced an export unasked", "export")
        precious = self.folder / "precious"
        precious.mkdir()
        (precious / "thesis.tex").write_text("years of work")
        contract.refuses(
            ExportError,
            lambda: self.kind().export(self.source, precious, force=True),
            "over what is no export",
            "export",
        )
        contract.require((precious / "thesis.tex").exists(), "it replaced what is no export", "export")
        other = _source(self.folder / "smaller", outcomes=(Outcome.SUCCESS,))
        self.kind().export(other, out, force=True)
        contract.require(_bytes(out) != before, "with force it does not replace an export", "export")
        self._require_alone(out)

    def of_several_specs(self) -> None:
        """Written as they are, or refused before anything is written."""
        out = self._place("mixed")
        mixed = _source(self.folder / "two-rates", faster=True)
        try:
            report = self.kind().export(mixed, out)
        except ExportError:
            left = [path.name for path in out.parent.iterdir()]
            self.contract.require(not left, f"it refuses mixed specs and leaves {left}", "check")
        else:
            self.contract.require(
                report.episodes == len(_OUTCOMES), "it drops episodes of another spec", "check"
            )


def _cut_off(kind: type[Exporter], *, after: int = -1, finishing: bool = False) -> type[Exporter]:
    """The same, killed in the episode behind `after` others with a part of it on the disk, or after `finish`."""

    class CutOff(kind):  # type: ignore[misc, valid-type]
        def add(self, work: Workplace, source: ExportSource, index: int) -> None:
            super().add(work, source, index)
            if index == after:
                raise _CutOffError

        def finish(self, work: Workplace, source: ExportSource) -> None:
            super().finish(work, source)
            if finishing:
                raise _CutOffError

    return CutOff


def _source(
    folder: Path, *, outcomes: Sequence[Outcome | None] = _OUTCOMES, faster: bool = False
) -> ExportSource:
    """A session's episodes: one per outcome, each a step longer; `faster`: each at another rate."""
    store = EpisodeStore(folder / "episodes", writable=True)
    journal = Journal(folder / "journal.jsonl", writable=True)
    for ordinal, outcome in enumerate(outcomes):
        spec = replace(_SPEC, control_hz=_SPEC.control_hz + ordinal * faster)
        episode = _episode(ordinal, spec)
        store.commit(episode)
        journal.append(EpisodeCommitted.of(episode))
        if outcome is not None:
            journal.append(Labelled(episode=episode.header.id, outcome=outcome, by="operator"))
    return gather(
        [store], journal.ledger(), session=folder.name, instruction="Place the orange on the juicer"
    )


def _episode(ordinal: int, spec: DataSpec) -> Episode:
    rng, steps = stream(1, "export check", ordinal), _STEPS + ordinal

    def numbers(*size: int) -> FloatArray:
        return rng.standard_normal(size, dtype=np.float32)

    return Episode(
        header=EpisodeHeader(
            id=f"online-{ordinal:06d}",
            kind=EpisodeKind.ONLINE,
            ordinal=ordinal,
            spec=spec,
            ending=Ending.OPERATOR,
            created="2026-01-01T00:00:00+00:00",
        ),
        images={
            camera.name: rng.integers(0, 255, (steps + 1, camera.height, camera.width, 3), dtype=np.uint8)
            for camera in spec.cameras
        },
        proprioception=numbers(steps + 1, spec.proprioception_dim),
        observation_time=spec.dt * np.arange(steps + 1.0),
        action=numbers(steps, spec.da),
        sent=numbers(steps, spec.da),
        command_time=spec.dt * np.arange(steps + 0.0),
    )


def _bytes(path: Path) -> dict[str, bytes]:
    """Every file's content, but of the card and the journal, which hold the time at which they were written.

    Of videos only that they are there: an encoder gives other bytes now and then.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {
        str(file.relative_to(path)): b"a video" if file.suffix == ".mp4" else file.read_bytes()
        for file in files
        if file.name not in (CARD, "journal.jsonl")
    }
