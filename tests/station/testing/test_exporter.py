"""The check of a format to write passes all of ours, and names the rule that another one breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from datasets.exporters import EXPORTERS
from datasets.exporters.interface import Exporter, ExportReport
from datasets.exporters.source import ExportSource
from datasets.exporters.staging import Workplace
from station.testing import check_exporter


@pytest.mark.parametrize(
    "name",
    [name if name == "lerobot" else pytest.param(name, marks=pytest.mark.slow) for name in sorted(EXPORTERS)],
)
def test_every_exporter_keeps_the_contract(name: str) -> None:
    if name == "lerobot":
        for package in ("pyarrow", "av"):
            pytest.importorskip(package, reason="pip install 'station[formats]'")
    check_exporter(
        EXPORTERS[name], repeatable=name != "robomimic"
    )  # HDF5 holds the time at which it was written


class Lines(Exporter):
    """A folder with a line of JSON per step of each episode."""

    name: ClassVar[str] = "lines"
    description: ClassVar[str] = "a line of JSON per step"
    single: ClassVar[bool] = False
    reading: ClassVar[str] = "`json.loads` on each line of the files in `{name}`."

    def add(self, work: Workplace, source: ExportSource, index: int) -> None:
        folder = work.part(index)
        folder.mkdir(exist_ok=True, parents=True)
        steps = source.entries[index].load().action.tolist()
        (folder / "steps").write_text("".join(f"{json.dumps(step)}\n" for step in steps))

    def finish(self, work: Workplace, source: ExportSource) -> None:
        work.payload.mkdir(exist_ok=True)
        for index in range(len(source.entries)):
            (work.payload / f"{index}.jsonl").write_bytes((work.part(index) / "steps").read_bytes())


def read(path: Path) -> list[int]:
    return [len(file.read_text().splitlines()) for file in sorted(path.glob("*.jsonl"))]


def added(change: Callable[[Path, Workplace, ExportSource, int], object]) -> Callable[..., None]:
    def add(self: Lines, work: Workplace, source: ExportSource, index: int) -> None:
        Lines.add(self, work, source, index)
        change(work.part(index) / "steps", work, source, index)

    return add


def appending(self: Lines, work: Workplace, source: ExportSource, index: int) -> None:
    work.part(index).mkdir(exist_ok=True, parents=True)
    with (work.part(index) / "steps").open("a") as file:
        file.writelines(f"{json.dumps(step)}\n" for step in source.entries[index].load().action.tolist())


def straight_to_its_place(self: Lines, work: Workplace, source: ExportSource, index: int) -> None:
    work.out.mkdir(exist_ok=True)
    Lines.add(self, work, source, index)


def in_memory(self: Lines, work: Workplace, source: ExportSource) -> None:
    work.payload.mkdir(exist_ok=True)
    for index, lines in self.__dict__.get("held", {}).items():
        (work.payload / f"{index}.jsonl").write_text(lines)


def holding(self: Lines, work: Workplace, source: ExportSource, index: int) -> None:
    Lines.add(self, work, source, index)
    self.__dict__.setdefault("held", {})[index] = (work.part(index) / "steps").read_text()


def once_only(self: Lines, work: Workplace, source: ExportSource) -> None:
    work.payload.mkdir()
    Lines.finish(self, work, source)


def forgetful(self: Lines, source: ExportSource, out: Path, **given: Any) -> ExportReport:
    report = Exporter.export(self, source, out, **given)
    return ExportReport(path=report.path, episodes=0, steps=0, resumed=report.resumed)


def always_forced(self: Lines, source: ExportSource, out: Path, **given: Any) -> ExportReport:
    return Exporter.export(self, source, out, **{**given, "force": True})


def dropping(self: Lines, work: Workplace, source: ExportSource) -> None:
    Lines.finish(self, work, source)
    (work.payload / "2.jsonl").unlink(missing_ok=True)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a name with a blank": ({"name": "my lines"}, "lower-case letters"),
    "another's name": ({"name": "zarr"}, "another format's already"),
    "no description": ({"description": ""}, "no description"),
    "no way to read it": ({"reading": "Read the files."}, "how to load {name}"),
    "a folder said to be a file": ({"single": True}, "single = True"),
    "a wrong report": ({"export": forgetful}, "its report is"),
    "a changed session": (
        {"add": added(lambda _p, _w, source, index: (source.entries[index].folder / "seen").touch())},
        "it changed the session",
    ),
    "a file beside it": (
        {"add": added(lambda _p, work, _s, index: work.out.with_name(f"log{index}").touch())},
        "beside the export it leaves",
    ),
    "a step too few": (
        {"add": added(lambda path, *_: path.write_text("".join(path.open().readlines()[1:])))},
        "episodes have .* steps",
    ),
    "an episode too few": ({"finish": dropping}, "episodes have"),
    "an episode added to what was cut off": ({"add": appending}, "never cut off"),
    "an incomplete export": ({"add": straight_to_its_place}, "from nothing, it fails: .* exists"),
    "state in the instance": ({"add": holding, "finish": in_memory}, "Keep no\\s+state in the instance"),
    "a finish that works once": ({"finish": once_only}, "finished twice, it fails"),
    "replacing unasked": ({"export": always_forced}, "over another raises nothing"),
}  # fmt: skip


@pytest.mark.slow
def test_an_exporter_that_keeps_the_contract_passes() -> None:
    check_exporter(Lines, read=read)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(name: str) -> None:
    methods, words = BROKEN[name]
    with pytest.raises(AssertionError, match=words) as caught:
        check_exporter(type("Broken", (Lines,), methods), read=read)
    assert "datasets.exporters.interface.Exporter" in str(caught.value)
