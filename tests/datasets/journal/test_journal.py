"""The journal: numbered, checked, never rewritten, and the ledger that folds it."""

from __future__ import annotations

import errno
import resource
from pathlib import Path
from typing import Any

import pytest

from datasets.durable import Disk, DiskFullError
from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.journal import Journal, JournalError
from datasets.journal.lines import Line
from datasets.journal.records import (
    EpisodeCommitted,
    Labelled,
    Noted,
    Pruned,
    Restored,
    UpdateBegun,
    Voided,
    read,
)


def _episode(journal: Journal, ordinal: int = 0) -> str:
    name = f"online-{ordinal:06d}"
    journal.append(
        EpisodeCommitted(
            id=name,
            kind=EpisodeKind.ONLINE,
            ordinal=ordinal,
            steps=60,
            chunks=8,
            ending=Ending.EPISODE_LIMIT,
            policy_version=3,
        )
    )
    return name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_relabel_undo_void_and_restore_are_followed_and_none_erases_the_others(path: Path) -> None:
    journal = Journal(path, writable=True)
    name = _episode(journal)
    journal.append(Labelled(episode=name, outcome=Outcome.FAILURE, by="operator"))
    journal.append(Labelled(episode=name, outcome=Outcome.SUCCESS, by="command"))
    assert journal.ledger().episodes[name].outcome is Outcome.SUCCESS
    journal.append(Voided(episode=name, by="operator", reason="bumped the table"))
    assert journal.ledger().episodes[name].void
    journal.append(Restored(episode=name, by="operator"))
    status = journal.ledger().episodes[name]
    assert (status.void, status.outcome, status.by) == (False, Outcome.SUCCESS, "operator")
    journal.append(Labelled(episode=name, outcome=None, by="operator"))
    assert journal.ledger().episodes[name].outcome is None
    assert [line.seq for line in Journal(path).lines] == [1, 2, 3, 4, 5, 6]


def test_what_was_pruned_stays_void_whatever_is_written_afterwards(path: Path) -> None:
    journal = Journal(path, writable=True)
    name = _episode(journal)
    journal.append(Voided(episode=name, by="operator", reason="bumped the table"))
    journal.append(Pruned(episodes=[name], by="operator"))
    with pytest.raises(JournalError, match="it stays void"):
        journal.append(Restored(episode=name, by="operator"))
    ledger = journal.ledger().copy()
    ledger.add(Line(seq=4, time=1.7e9, record=Restored(episode=name, by="somebody")))
    assert ledger.episodes[name].pruned and ledger.episodes[name].void


def test_a_reopened_journal_folds_to_the_same_ledger(path: Path) -> None:
    journal = Journal(path, writable=True)
    for ordinal in range(3):
        name = _episode(journal, ordinal)
        journal.append(Labelled(episode=name, outcome=Outcome.TIMEOUT, by="autopilot"))
    journal.append(UpdateBegun(ordinal=1, through=6, steps=20))
    assert Journal(path).ledger() == journal.ledger()
    assert [line.record.ordinal for line in journal.ledger().lines_of(UpdateBegun)] == [1]


def test_a_ledger_through_a_line_knows_nothing_of_later_labels(path: Path) -> None:
    journal = Journal(path, writable=True)
    name = _episode(journal)
    journal.append(Labelled(episode=name, outcome=Outcome.SUCCESS, by="operator"))
    before = journal.ledger(through=2)
    journal.append(Labelled(episode=name, outcome=Outcome.FAILURE, by="operator"))
    assert before.episodes[name].outcome is Outcome.SUCCESS
    assert journal.ledger(through=2) == before
    assert journal.ledger(through=1).episodes[name].outcome is None


def test_every_line_about_an_episode_is_found(path: Path) -> None:
    journal = Journal(path, writable=True)
    names = [_episode(journal, ordinal) for ordinal in range(2)]
    for name in names:
        journal.append(Labelled(episode=name, outcome=Outcome.SUCCESS, by="operator"))
    journal.append(Pruned(episodes=names, by="command"))
    assert [line.seq for line in Journal(path).about(names[0])] == [1, 3, 5]
    assert Journal(path).about("online-00000") == []


def test_a_reader_follows_a_live_journal(path: Path) -> None:
    reader = Journal(path)
    assert list(reader.lines) == reader.about("online-000000") == []
    writer = Journal(path, writable=True)
    _episode(writer)
    assert [line.op for line in reader.refresh()] == ["episode"]
    writer.append(Noted(text="müde"))
    assert [line.record for line in reader.refresh()] == [Noted(text="müde")]
    assert reader.refresh() == []
    with pytest.raises(JournalError, match="opened for reading"):
        reader.append(Noted(text="no"))


@pytest.mark.parametrize("left", [1, 20, 90])
def test_a_torn_last_line_is_cut_off_and_its_bytes_are_kept(path: Path, left: int) -> None:
    writer = Journal(path, writable=True)
    name = _episode(writer)
    writer.append(Labelled(episode=name, outcome=Outcome.SUCCESS, by="operator"))
    whole = path.read_bytes()
    end = whole.index(b"\n") + 1
    path.write_bytes(whole[: end + left])
    assert Journal(path).last_seq == 1, "a reader sees whole lines only"
    again = Journal(path, writable=True)
    assert again.torn is not None
    assert again.torn.read_bytes() == whole[end : end + left]
    assert again.append(Noted(text="next")).seq == 2
    assert [line.op for line in Journal(path).lines] == ["episode", "note"]


def test_a_last_line_with_a_wrong_checksum_counts_as_torn(path: Path) -> None:
    writer = Journal(path, writable=True)
    _episode(writer)
    writer.append(Noted(text="a"))
    path.write_bytes(path.read_bytes().replace(b'"text":"a"', b'"text":"b"'))
    assert Journal(path, writable=True).torn is not None
    assert Journal(path).last_seq == 1


def test_damage_in_the_middle_is_refused_with_the_line(path: Path) -> None:
    writer = Journal(path, writable=True)
    for text in "abc":
        writer.append(Noted(text=text))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"text":"b"', b'"text":"x"'))
    with pytest.raises(JournalError, match="line 2: its checksum"):
        Journal(path, writable=True)
    rows = whole.splitlines(keepends=True)
    path.write_bytes(rows[0] + rows[2])
    with pytest.raises(JournalError, match="line 2: it is numbered 3"):
        Journal(path)


@pytest.mark.parametrize(
    ("op", "fields", "message"),
    [
        ("label", {"episode": "online-000009", "outcome": "success", "by": "operator"}, "No episode"),
        ("label", {"episode": "online-000000", "outcome": "good", "by": "operator"}, "'outcome' cannot be"),
        ("label", {"episode": "online-000000", "outcome": "success"}, "'by' is missing"),
        ("setting", {"name": "x", "value": float("nan")}, "plain JSON"),
        ("setting", {"name": "x", "value": object()}, "plain JSON"),
    ],
)
def test_a_line_that_nobody_could_follow_is_not_written(
    path: Path, op: str, fields: dict[str, Any], message: str
) -> None:
    journal = Journal(path, writable=True)
    _episode(journal)
    with pytest.raises((JournalError, ValueError), match=message):
        journal.append(read(op, fields))
    assert Journal(path).last_seq == journal.last_seq == 1


def test_an_episode_enters_only_once(path: Path) -> None:
    journal = Journal(path, writable=True)
    _episode(journal)
    with pytest.raises(JournalError, match="already"):
        _episode(journal)


class _FullDisk(Disk):
    full = False

    def append(self, path: Path, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(path, data)


def test_a_full_disk_refuses_the_line_and_the_next_one_has_its_number(path: Path) -> None:
    disk = _FullDisk()
    journal = Journal(path, writable=True, disk=disk)
    disk.full = True
    with pytest.raises(DiskFullError, match="Free some space"):
        journal.append(Noted(text="lost"))
    disk.full = False
    assert journal.append(Noted(text="kept")).seq == 1
    assert [line.record for line in Journal(path).lines] == [Noted(text="kept")]


def test_a_reader_that_comes_before_the_first_line_waits_for_it(path: Path) -> None:
    reader = Journal(path)
    assert reader.refresh() == [] and list(reader.lines) == []
    _episode(Journal(path, writable=True))
    assert [line.op for line in reader.refresh()] == ["episode"]


def test_a_disk_that_takes_no_larger_file_refuses_the_line(path: Path) -> None:
    journal = Journal(path, writable=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(DiskFullError, match=r"ulimit -f.*takes no larger file"):
            journal.append(Noted(text="x" * 200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.read_bytes()


@pytest.mark.parametrize("restored", [False, True])
def test_a_line_goes_into_the_journal_that_was_opened_or_nowhere(tmp_path: Path, *, restored: bool) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, writable=True)
    journal.append(Noted(text="one"))
    content = path.read_bytes()
    path.rename(tmp_path / "old")
    if restored:
        path.write_bytes(content)
    with pytest.raises(JournalError, match="removed, renamed or replaced since it was opened"):
        journal.append(Noted(text="two"))
    assert (tmp_path / "old").read_bytes() == content
    assert path.exists() is restored and (not restored or path.read_bytes() == content)


def test_a_line_or_a_journal_that_could_not_be_read_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, writable=True)
    journal.append(Noted(text="short"))
    before = path.read_bytes()
    monkeypatch.setattr("datasets.journal.lines.LONGEST", 200)
    with pytest.raises(JournalError, match="a line at most 200"):
        journal.append(Noted(text="long" * 100))
    monkeypatch.setattr("datasets.journal.journal.LARGEST", len(before) + 10)
    with pytest.raises(JournalError, match="a journal at most"):
        journal.append(Noted(text="short"))
    assert path.read_bytes() == before
