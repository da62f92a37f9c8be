"""The ledger put aside beside a journal: believed when it is whole and true, and never more than the journal."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal import index as journal_index
from datasets.journal.journal import Journal, JournalError
from datasets.journal.lines import unseal
from datasets.journal.records import EpisodeCommitted, Labelled, UpdateBegun, Voided

COUNT = 40


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of forty labelled episodes, put aside after every ten lines."""
    monkeypatch.setattr("datasets.journal.journal.INDEXED", 10)
    path = tmp_path / "journal.jsonl"
    writer = Journal(path, writable=True)
    for ordinal in range(COUNT):
        name = f"online-{ordinal:06d}"
        writer.append(
            EpisodeCommitted(
                id=name,
                kind=EpisodeKind.ONLINE,
                ordinal=ordinal,
                steps=60 + ordinal,
                chunks=8,
                ending=Ending.EPISODE_LIMIT,
                policy_version=3,
                block=2 if ordinal % 7 == 0 else None,
            )
        )
        writer.append(Labelled(episode=name, outcome=Outcome.SUCCESS if ordinal % 3 else None, by="operator"))
    writer.append(Voided(episode="online-000004", by="command"))
    writer.append(Labelled(episode="online-000001", outcome=Outcome.FAILURE, by="review"))
    writer.append(UpdateBegun(ordinal=0, through=writer.last_seq, steps=3))
    return path


def index_of(path: Path) -> Path:
    return path.with_suffix(".index")


def decoded(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many lines an opening reads."""
    rows: list[bytes] = []

    def counting(row: bytes) -> dict[str, Any]:
        rows.append(row)
        return unseal(row)

    with monkeypatch.context() as watched:
        watched.setattr("datasets.journal.journal.unseal", counting)
        Journal(path)
    return len(rows)


def test_an_opening_reads_the_lines_behind_the_index_and_knows_what_a_whole_reading_knows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decoded(path, monkeypatch) < 10
    quick, whole = Journal(path), Journal(path, whole=True)
    assert quick.ledger() == whole.ledger()
    assert list(quick.lines) == list(whole.lines)
    status = quick.ledger().episodes["online-000001"]
    assert (status.kind, status.outcome, status.by) == (EpisodeKind.ONLINE, Outcome.FAILURE, "review")
    assert [line.record.steps for line in quick.ledger().lines_of(UpdateBegun)] == [3]


def test_what_was_judged_before_and_behind_a_line_is_told_apart_after_a_quick_opening(path: Path) -> None:
    reader = Journal(path)
    before = next(line.seq for line in reader.lines if line.op == "void") - 1
    assert not reader.ledger(before).episodes["online-000004"].void
    assert reader.ledger().episodes["online-000004"].void
    assert reader.ledger(before) == Journal(path, whole=True).ledger(before)


def test_a_writer_goes_on_behind_an_index(path: Path) -> None:
    writer = Journal(path, writable=True)
    number = writer.append(Labelled(episode="online-000039", outcome=Outcome.TIMEOUT, by="operator")).seq
    assert number == Journal(path, whole=True).last_seq
    assert Journal(path).ledger() == Journal(path, whole=True).ledger() == writer.ledger()


@pytest.mark.parametrize(
    "hurt",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:200] + bytes([data[200] ^ 8]) + data[201:],
        lambda data: data[:-1500] + bytes([data[-1500] ^ 1]) + data[-1499:],
        lambda data: b"not an index",
    ],
)
def test_a_damaged_index_is_passed_over(path: Path, hurt: Callable[[bytes], bytes]) -> None:
    expected = Journal(path, whole=True).ledger()
    index_of(path).write_bytes(hurt(index_of(path).read_bytes()))
    assert Journal(path).ledger() == expected
    index_of(path).unlink()
    assert Journal(path).ledger() == expected


@pytest.mark.slow
def test_no_flipped_bit_of_an_index_is_believed_or_raised(path: Path) -> None:
    """Its last bytes are a table of contents, which no checksum covers."""
    expected = Journal(path, whole=True).ledger()
    data = index_of(path).read_bytes()
    for place in range(len(data) - 400, len(data)):
        for bit in (1, 8, 64):
            index_of(path).write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            assert Journal(path).ledger() == expected


def test_an_index_of_other_words_is_not_believed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.journal.index._TABLES", [["evaluation", "online", "demo"]])
    assert journal_index.load(path) is None


def test_a_full_disk_leaves_no_draft_of_an_index(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = journal_index.load(path)
    assert index is not None

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    journal_index.save(index)
    assert not list(path.parent.glob(".*.partial"))


def test_an_index_hides_no_damage_of_the_journal(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"steps":63', b'"steps":64'))
    with pytest.raises(JournalError, match="line 7: its checksum"):
        Journal(path)
    rows = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(rows[:3]))
    assert Journal(path).last_seq == 3, "an older copy of the journal was put back"


def test_a_lost_index_is_made_anew_by_the_next_writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index_of(path).unlink()
    Journal(path, writable=True)
    assert decoded(path, monkeypatch) == 0


def test_a_ledger_is_not_touched_by_what_comes_later(path: Path) -> None:
    writer = Journal(path, writable=True)
    before = writer.ledger()
    kept = dict(before.episodes)
    demo = EpisodeCommitted(
        id="demo-a",
        kind=EpisodeKind.DEMO,
        ordinal=0,
        steps=5,
        chunks=0,
        ending=Ending.RECORDED,
        policy_version=0,
    )
    writer.append(demo)
    writer.append(Labelled(episode="online-000002", outcome=Outcome.FAILURE, by="somebody new"))
    assert dict(before.episodes) == kept
    assert "demo-a" not in before.episodes and "demo-a" in writer.ledger().episodes
    before.episodes["other"] = kept["online-000000"]
    assert "other" not in writer.ledger().episodes


def _of_rows(field: str, value: int) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["rows"][field] = value

    return change


MADE_UP: dict[str, Callable[[dict[str, Any]], None]] = {
    "a bomb": lambda content: content.update(extra=np.zeros(2**24, np.uint8)),
    "places before the file": lambda content: content.update(offsets=content["offsets"] - 10**6),
    "places behind it": lambda content: content.update(offsets=content["offsets"] + 2**40),
    "operations that are none": lambda content: content.update(codes=content["codes"] + 99),
    "kinds that are none": _of_rows("kind", 77),
    "words that are none": _of_rows("by", 999),
}


@pytest.mark.parametrize("name", MADE_UP)
def test_an_index_that_refers_to_nothing_or_unpacks_to_more_than_its_journal_is_not_believed(
    path: Path, name: str
) -> None:
    with np.load(index_of(path)) as file:
        content = {each: file[each].copy() for each in file.files}
    MADE_UP[name](content)
    with index_of(path).open("wb") as written:
        np.savez_compressed(written, **content)
    assert journal_index.load(path) is None
    assert len([*Journal(path).lines]) == 2 * COUNT + 3
