"""A session that somebody made up, byte by byte and with right checksums, ends in sentences and in nothing else."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from datasets.journal.journal import Journal, JournalError
from datasets.journal.lines import LONGEST
from datasets.journal.records import Noted, read
from datasets.own_files import NotOursError
from policy import weights
from policy.base import BasePolicy, PolicyFileError
from station.review.catalogue import Catalogue
from station.session.engine.partial import read as read_partial
from station.session.folder import SessionError, SessionFolder
from station.session.status import count
from tests.station.session.fakes import SESSION, TinyTask, make_folder

EPISODE = {
    "id": "online-000000",
    "kind": "online",
    "ordinal": 0,
    "steps": 24,
    "chunks": 3,
    "ending": "horizon",
    "policy_version": 0,
}
END = {"stage": "end", "ordinal": 0, "first": 0, "at": 0, "env_steps": 1, "policy_version": 0, "n": 2}


TINY = TinyTask(session=SESSION)


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return make_folder(tmp_path / "s")


def line(seq: int, op: Any, fields: Any, time: Any = 1.7e9) -> bytes:
    """A line as it stands in a journal, whatever it says."""
    return sealed(json.dumps({"seq": seq, "time": time, "op": op, "fields": fields}))


def sealed(text: str) -> bytes:
    body = text[:-1].encode()
    return body + b',"crc":"%08x"}\n' % zlib.crc32(body)


LINES: dict[str, tuple[Any, ...]] = {
    "a block that would take all memory": ("episode", EPISODE | {"block": 2**31 - 1}),
    "negative steps": ("episode", EPISODE | {"steps": -5}),
    "an ordinal of 400 digits": ("episode", EPISODE | {"ordinal": 10**400}),
    "an id that is a list": ("episode", EPISODE | {"id": ["x"]}),
    "no date": ("episode", EPISODE, math.inf),
    "no number": ("episode", EPISODE, math.nan),
    "a date of another age": ("episode", EPISODE, 1e18),
    "a date in words": ("episode", EPISODE, "yesterday"),
    "an evaluation that would take all memory": ("evaluation", END | {"ordinal": 10**12}),
    "an evaluation of nothing": ("evaluation", {"stage": "end"}),
    "an evaluation in words": ("evaluation", END | {"ordinal": "x"}),
    "a phase without a name": ("phase", {}),
    "a phase of endless time": ("phase", {"phase": "rollout", "spent": {"rollout": math.inf}}),
    "a checkpoint without end": ("checkpoint", {"update": 1, "steps": math.inf, "policy_version": 1}),
    "outcomes that are none": ("base_evaluation", {"path": "latent", "n": 2, "outcomes": 5}),
    "fields that are a list": ("phase", ["phase"]),
    "fields that are a number": ("note", 5),
    "an operation that is a list": (["phase"], {}),
    "a cut that names nothing": ("cut_off", {}),
    "an import without content": ("import", {"episode": "x"}),
    "a pruning of tables": ("prune", {"episodes": [{}], "by": "x"}),
    "a setting without a name": ("setting", {"value": 1}),
    "a training that says nothing": ("training", {"stage": "done"}),
    "devices that are a number": ("devices", {"devices": 5, "accepted": True}),
    "an update in words": ("update", {"ordinal": 0, "through": "x", "steps": 1}),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_nobody_could_count_with_is_named(folder: SessionFolder, name: str) -> None:
    folder.journal.write_bytes(line(1, *LINES[name]))
    for look in (count, Catalogue):
        with pytest.raises(JournalError, match=r"journal\.jsonl, line 1 .*restore the file from a copy"):
            look(folder)


WRITTEN = [
    name
    for name, (op, fields, *when) in LINES.items()
    if isinstance(fields, dict) and op == str(op) and not when
]
"""The others no writer could write: the journal itself dates its lines."""


@pytest.mark.parametrize("name", WRITTEN)
def test_no_such_record_can_be_built(name: str) -> None:
    op, fields = LINES[name]
    with pytest.raises(ValueError, match="its '"):
        read(op, fields)


def test_a_line_nested_as_deep_as_a_file_is_long_is_named(folder: SessionFolder) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    row = sealed(f'{{"seq":1,"time":1,"op":"note","fields":{{"text":{deep}}}}}')
    folder.journal.write_bytes(row + line(2, "note", {}))
    with pytest.raises(JournalError, match="line 1: it is not a journal line"):
        count(folder)


def test_a_journal_that_is_a_hole_of_a_terabyte_is_not_read_into_memory(folder: SessionFolder) -> None:
    with folder.journal.open("wb") as file:
        file.truncate(2**40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(JournalError, match="a journal at most"):
        count(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4 * LONGEST / 1024


HEADERS = {
    "a seed without end": ("seed = 3", "seed = inf"),
    "a seed in words": ("seed = 3", 'seed = "x"'),
    "a schema without end": ("schema = 1", "schema = inf"),
    "no task": ("task = ", "tusk = "),
    "a header that is a number": ("[station]", "[[station]]"),
    "tables within tables": ("[station]", f"a = {'[' * 50_000}{']' * 50_000}\n[station]"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_session_file_that_makes_no_sense_is_named(folder: SessionFolder, name: str) -> None:
    file = folder.path / "session.toml"
    before, after = HEADERS[name]
    text = file.read_text().replace(f"seed = {folder.seed}", "seed = 3")
    assert before in text
    file.write_text(text.replace(before, after, 1))
    with pytest.raises(SessionError, match=r"session\.toml is damaged"):
        SessionFolder.open(folder.path)


@pytest.mark.parametrize("value", ["inf", '"x"', "-3", "0", "9" * 30, "[]"])
def test_a_window_that_is_no_number_of_episodes_is_named(folder: SessionFolder, value: str) -> None:
    file = folder.path / "session.toml"
    file.write_text(
        f"[session]\nrolling_window = {value}\n[station]" + file.read_text().split("[station]")[1]
    )
    with pytest.raises(SessionError, match="rolling_window is no number of episodes"):
        count(SessionFolder.open(folder.path))


def test_a_session_file_of_a_terabyte_is_refused(folder: SessionFolder) -> None:
    os.truncate(folder.path / "session.toml", 2**40)
    with pytest.raises(OSError, match="no file of this kind that the station writes"):
        SessionFolder.open(folder.path)


def test_recorded_steps_that_claim_more_than_there_is_memory_are_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from station.session.engine import partial

    monkeypatch.setattr(partial, "free_memory", lambda: 2**20)
    with zipfile.ZipFile(tmp_path / "steps-000000.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("action.npy", bytes(2**22))
    _, (hole,) = read_partial(tmp_path)
    assert "more than there is memory" in hole.detail


def test_nobody_waits_for_a_pipe_in_the_place_of_a_policy(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.json")
    os.mkfifo(tmp_path / "w.safetensors")
    with pytest.raises(PolicyFileError, match="is a pipe"):
        BasePolicy.load(tmp_path)
    with pytest.raises(weights.WeightsError, match="is a pipe"):
        weights.read(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["two\nlines.toml", 'a "quote"\\.toml', "\x1b[2J\u202e\x7f.toml"])
def test_a_task_file_of_any_name_makes_a_session_that_opens(tmp_path: Path, name: str) -> None:
    made = SessionFolder.create(tmp_path / "s", TINY, task_name="tiny", seed=0, source=f"/x/{name}")
    assert SessionFolder.open(made.path).source == f"/x/{name}"


def test_a_task_file_whose_name_is_no_text_makes_none(tmp_path: Path) -> None:
    source = os.fsdecode(b"/x/\xff.toml")
    with pytest.raises(SessionError, match="is no name in UTF-8"):
        SessionFolder.create(tmp_path / "s", TINY, task_name="tiny", seed=0, source=source)
    assert not (tmp_path / "s").exists()


def test_a_name_that_is_no_text_comes_back_from_the_journal(folder: SessionFolder) -> None:
    text = os.fsdecode(b"\xff.h5") + "\x1b\n"
    Journal(folder.journal, writable=True).append(Noted(text=text))
    assert Journal(folder.journal).lines[0].record == Noted(text=text)


@pytest.mark.parametrize(
    "place",
    ["demos", "demos/tmp", "episodes/tmp", "base", "steering", "partial", "recordings", "quarantine"],
)
def test_a_session_with_a_folder_behind_a_link_has_no_writer(
    folder: SessionFolder, tmp_path: Path, place: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    there = folder.path / place
    shutil.rmtree(there, ignore_errors=True)
    there.parent.mkdir(exist_ok=True)
    there.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotOursError, match=f"{place} is a link to"), folder.writing():
        pytest.fail("somebody may write")


@pytest.mark.parametrize("name", ["lock", "journal.jsonl", "stop.latch", "engine.log"])
def test_a_session_with_a_file_behind_a_link_has_no_writer(
    folder: SessionFolder, tmp_path: Path, name: str
) -> None:
    (folder.path / name).unlink(missing_ok=True)
    (folder.path / name).symlink_to(tmp_path / "thesis")
    with pytest.raises(NotOursError, match=f"{name} is a link to"), folder.writing():
        pytest.fail("somebody may write")
    assert not (tmp_path / "thesis").exists()
