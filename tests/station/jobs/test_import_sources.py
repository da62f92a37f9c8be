"""Which episodes an import is about: paths that hold nothing are said, and which of several tasks is asked for once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datasets.errors import UsageError
from datasets.importers.findings import Answers, Finding
from datasets.importers.interface import Source
from datasets.importers.read.reader import Reader
from station.jobs.import_request import ImportRequest, read_request
from station.jobs.import_sources import Sources, find
from station.session.folder import SessionFolder
from tests.datasets.importers import sources
from tests.station.recorded import recorded


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return recorded(tmp_path / "orange-1")


@pytest.fixture
def two_tasks(tmp_path: Path) -> Path:
    root = sources.lerobot(tmp_path / "set", "v2.1")
    lines = [{"episode_index": n, "tasks": [task]} for n, task in enumerate(("pick it", "open it"))]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return root


def found(folder: SessionFolder, asked: ImportRequest, answers: Answers | None = None) -> Sources:
    return find(folder, asked, Reader(), answers or {})


def keys(found: Sources) -> list[str]:
    return [source.key for source in found.found if isinstance(source, Source)]


def test_each_path_that_holds_nothing_is_said_beside_what_the_others_hold(
    folder: SessionFolder, two_tasks: Path, tmp_path: Path
) -> None:
    for name in ("empty", "photographs/inside"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "photographs" / "inside" / "a.jpg").write_bytes(b"jpg")
    paths = [two_tasks, tmp_path / "empty", tmp_path / "photographs", folder.path]
    there = found(folder, read_request(paths, None, ["instruction=all"], {}))
    assert keys(there) == ["0", "1"] and there.empty == tuple(paths[1:])
    refused = [str(one.refused) for one in there.found if isinstance(one, Finding)]
    for said, words in zip(
        refused,
        ("an empty folder", "which holds 1 file (1 .jpg)", "only episodes that this session"),
        strict=True,
    ):
        assert words in said
    with pytest.raises(UsageError, match=r"empty, an empty folder.*photographs, which holds"):
        found(folder, read_request(paths[1:3], None, [], {}))


def test_several_tasks_are_asked_about_until_one_is_named(folder: SessionFolder, two_tasks: Path) -> None:
    open_ = found(folder, read_request([two_tasks], None, [], {}))
    assert keys(open_) == ["0", "1"] and open_.unanswered is not None
    named = found(folder, read_request([two_tasks], None, ["instruction=Open it"], {}))
    assert (keys(named), named.passed_over, named.unanswered) == (["1"], 1, None)
    assert named.task is not None and list(named.task.settled.values()) == ["Open it"]


def test_the_task_that_was_named_before_is_meant_until_another_one_is(
    folder: SessionFolder, two_tasks: Path
) -> None:
    asked = found(folder, read_request([two_tasks], None, [], {})).unanswered
    assert asked is not None
    saved: Answers = {asked.structure: {"instruction": "pick it | open it"}}
    assert keys(found(folder, read_request([two_tasks], None, [], {}), saved)) == ["0", "1"]
    assert keys(found(folder, read_request([two_tasks], None, ["instruction=pick it"], {}), saved)) == ["0"]


def test_an_answer_to_one_task_alone_asks_nothing(folder: SessionFolder, two_tasks: Path) -> None:
    one = found(folder, read_request([two_tasks], None, [], {}, episodes="1"))
    assert (keys(one), one.task, one.passed_over) == (["1"], None, 1)
    with pytest.raises(UsageError, match="No episode '7'"):
        found(folder, read_request([two_tasks], None, [], {}, episodes="7"))
