"""Checks that a session's policy, checkpoints and cut-off episodes are readable, by every file's digest.

`datasets.verify` checks episodes and journal. Broken files move to the session's ``quarantine/``, never deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets.durable import Disk, full_disk_named
from datasets.importers.map.answers import NAME as ANSWERS_FILE
from datasets.importers.map.answers import AnswersError
from datasets.importers.map.answers import load as load_answers
from datasets.journal.journal import Ledger
from datasets.journal.records import BaseTrained, CheckpointSaved
from datasets.own_files import make_folder, read_bytes
from datasets.plain_text import from_json
from policy import weights
from policy.base import POLICY_FILE, BasePolicy, PolicyFileError
from policy.pretrain import CURVE_FILE, REPORT_FILE, read_report
from station.session.engine.checkpoint import BEST, NEWEST, PREVIOUS, CheckpointError, Checkpoints
from station.session.engine.partial import leftovers, read
from station.session.folder import SessionFolder

_TEXT = 1 << 24
_CURVE = 1 << 26
"""Maximum bytes of a file read whole; ours are far smaller."""


@dataclass(frozen=True, kw_only=True)
class FileFault:
    """A broken or missing file."""

    path: Path
    detail: str
    loss: str
    """What is lost with it, and what to do."""


def inspect(folder: SessionFolder, ledger: Ledger) -> list[FileFault]:
    """Every broken file besides episodes and journal; changes nothing."""
    return [*_base(folder, ledger), *_accounts(folder), *_steering(folder, ledger), *_partial(folder)]


def quarantine(folder: SessionFolder, fault: FileFault) -> Path | None:
    """Quarantine the file, with a note why; None if there is no file. The caller holds the lock.

    Raises:
        DiskFullError: the note did not fit; the file has been moved.
    """
    if not fault.path.exists():
        return None
    place = folder.quarantine
    make_folder(place)
    number = 0
    while (target := place / f"{fault.path.parent.name}-{fault.path.name}-{number}").exists():
        number += 1
    fault.path.rename(target)
    disk = Disk()
    disk.sync(fault.path.parent)
    disk.sync(place)
    with full_disk_named("the reason of a quarantine", place):
        disk.write(target.with_name(f"{target.name}.reason.txt"), f"{fault.detail}\n".encode())
    return target


def _base(folder: SessionFolder, ledger: Ledger) -> Iterator[FileFault]:
    online = any(status.kind != "demo" for status in ledger.episodes.values())
    loss = (
        "the base policy: restore it from a copy, for the online episodes hold its features"
        if online
        else "the base policy: 'station train' trains it again from the demonstrations"
    )
    broken: set[Path] = set()
    for path in sorted(folder.base.glob("*.safetensors")):
        try:
            weights.read(path)
        except weights.WeightsError as error:
            # training replaces its states; one that disappeared meanwhile is not damage
            if path.exists():
                state = path in weights.numbered(folder.base)
                broken |= set() if state else {path}
                yield FileFault(
                    path=path,
                    detail=str(error),
                    loss="nothing: training continues from the state before" if state else loss,
                )
    policy, named = folder.base / POLICY_FILE, _weights_named(folder.base)
    # the file that names the weights is sound without them, and is needed once they are restored
    if named is not None and not named.exists():
        yield FileFault(path=named, detail="it is missing", loss=loss)
    elif not broken and (policy.exists() or ledger.lines_of(BaseTrained)):
        try:
            BasePolicy.load(folder.base)
        except PolicyFileError as error:
            yield FileFault(path=policy, detail=str(error), loss=loss)


def _weights_named(base: Path) -> Path | None:
    """The weights file named in the policy file; None if none is named."""
    try:
        return base / str(from_json(read_bytes(base / POLICY_FILE, _TEXT))["weights"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _accounts(folder: SessionFolder) -> Iterator[FileFault]:
    """The reports of training and imports."""
    again = "'station train' would train the base again: restore it from a copy"
    base = folder.base
    for path, read_account, loss in (
        (base / REPORT_FILE, read_report, f"the report of a finished training; without it {again}"),
        (base / CURVE_FILE, _read_json_lines, "the training curve, which is only looked at"),
        (base / "report.json", _read_json, "nothing: 'station train' writes it again from the journal"),
        (base / "demos", _read_mark, f"which demonstrations the base was trained on; without it {again}"),
        (
            folder.path / ANSWERS_FILE,
            load_answers,
            "the answers about foreign recordings; an import asks again",
        ),
    ):
        if path.exists():
            try:
                read_account(path)
            except (OSError, ValueError, AnswersError) as error:
                yield FileFault(path=path, detail=f"it is damaged ({error})", loss=loss)


def _read_json(path: Path) -> None:
    if not isinstance(from_json(read_bytes(path, _TEXT)), dict):
        raise ValueError("no JSON object")


def _read_json_lines(path: Path) -> None:
    for line in read_bytes(path, _CURVE).splitlines():
        from_json(line)


def _read_mark(path: Path) -> None:
    if not re.fullmatch(rb"[0-9a-f]{16}", read_bytes(path, _TEXT).strip()):
        raise ValueError("no fingerprint")


def _steering(folder: SessionFolder, ledger: Ledger) -> Iterator[FileFault]:
    checkpoints = Checkpoints(folder.steering)
    losses = {
        NEWEST: "nothing: the one before is used, and what it lacks is learnt again",
        PREVIOUS: "nothing, as long as the newest is sound",
        BEST: "the best policy so far; the newest is untouched",
    }
    for name, loss in losses.items():
        try:
            checkpoints.load(name)
        except FileNotFoundError:
            if name == NEWEST and ledger.lines_of(CheckpointSaved):
                yield FileFault(path=checkpoints.path(name), detail="it is missing", loss=loss)
        except CheckpointError as error:
            yield FileFault(path=checkpoints.path(name), detail=str(error), loss=loss)


def _partial(folder: SessionFolder) -> Iterator[FileFault]:
    for left in leftovers(folder.partial):
        for hole in read(left)[1]:
            # a missing one was moved earlier, or its episode has just been committed
            if hole.path.exists():
                loss = f"nothing that counts: {left.name} was cut off, and can be reviewed up to there"
                yield FileFault(path=hole.path, detail=hole.detail, loss=loss)
