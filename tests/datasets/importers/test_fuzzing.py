"""Damaged files of every format: each case ends in an import or a sentence, not in a crash, a hang or half an episode.

Bytes of valid files are flipped, cut, blanked, doubled and moved, with a bias to where headers are. The reader runs in
its own process with little memory, as in the product.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.durable import Disk, write_all
from datasets.importers.defects import Defect
from datasets.importers.enter.intake import inspect_all
from datasets.importers.read.reader import Reader
from datasets.importers.read.worker import IsolatedReader
from datasets.journal.journal import Journal
from datasets.randomness import stream
from datasets.spec import DataSpec
from datasets.store import EpisodeStore
from datasets.vr_recording import write as write_vr
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.formats.test_vr import make_recording
from tests.datasets.importers.sources import ANSWERS, MAKERS, SPECS

KINDS = [*MAKERS, "vr"]
QUICK, MANY = 5, 60
"""Cases per kind; the many are for `make test-all`."""
MEMORY = 2**30
HEADER = 4096


class Hasty(Disk):
    """Does not wait for the disk, which thousands of tiny commits would."""

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def sync(self, folder: Path) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def reader() -> Iterator[IsolatedReader]:
    reader = IsolatedReader(memory=MEMORY, patience=30)
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One valid source of each kind that was asked for; they are made only once."""
    return tmp_path_factory.mktemp("originals")


def original(root: Path, kind: str, spec: DataSpec) -> Path:
    folder = root / kind
    if not folder.exists():
        folder.mkdir()
        if kind == "vr":
            write_vr(folder / "a.h5", make_recording(spec))
        else:
            MAKERS[kind][1](folder)
    return folder


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four wounds."""
    for _ in range(int(rng.integers(1, 5))):
        if not data:
            return data
        near_header = rng.random() < 0.5
        at = int(rng.integers(0, min(len(data), HEADER) if near_header else len(data)))
        length = int(rng.integers(1, 64))
        kind = rng.integers(0, 7)
        match kind:
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + rng.bytes(length) + data[at + length :]
            case 2:
                data = data[:at] + bytes(length) + data[at + length :]
            case 3:
                data = data[:at] + data[at + length :]
            case 4:
                data = data[:at] + b"\xff" * length + data[at + length :]
            case 5:
                data = data[:at] + data[at : at + length] * 2 + data[at + length :]
            case _:
                wounded = bytearray(data)
                wounded[at] ^= 1 << int(rng.integers(0, 8))
                data = bytes(wounded)
    return data


def injure(folder: Path, rng: np.random.Generator) -> None:
    """Damage one file, or take it away."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # one of many images is rarely interesting: small files are where a folder says what it is
    weights = np.array([1.0 if path.stat().st_size > HEADER else 3.0 for path in files])
    chosen = files[int(rng.choice(len(files), p=weights / weights.sum()))]
    if len(files) > 1 and rng.random() < 0.05:
        chosen.unlink()
    else:
        chosen.write_bytes(damage(chosen.read_bytes(), rng))


def survive(
    kind: str, case: int, originals: Path, root: Path, spec: DataSpec, reader: IsolatedReader
) -> None:
    name = MAKERS[kind][0] if kind in MAKERS else "vr"
    desk = Desk(root, SPECS.get(name, spec), ANSWERS.get(name))
    desk.store = EpisodeStore(root / "demos", writable=True, disk=Hasty())
    desk.journal = Journal(root / "journal.jsonl", writable=True, disk=HastyJournal())
    shutil.copytree(original(originals, kind, spec), desk.inbox, dirs_exist_ok=True)
    injure(desk.inbox, stream(7, f"fuzz {kind}", case))
    results = list(desk.start(reader=reader))
    for result in results:
        if result.refused is None:
            assert result.episode is not None
            episode = desk.store.load(result.episode)
            assert np.isfinite(episode.action).all() and np.isfinite(episode.proprioception).all()
        else:
            assert len(result.refused) > 5 and "Traceback" not in result.refused
            died = [note for note in result.finding.defects if note.defect is Defect.READER_DIED]
            assert not died, (kind, case, died)
    assert desk.store.verify().ok and not list((root / "demos" / "tmp").iterdir())
    assert desk.store.ids() == sorted({result.episode for result in results if result.episode})


class HastyJournal(Disk):
    """Appends without waiting."""

    def append(self, path: Path, data: bytes) -> None:
        with path.open("ab") as file:
            write_all(file.fileno(), data)

    def sync(self, folder: Path) -> None:
        """Nothing."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_an_import_or_a_sentence(
    kind: str, originals: Path, tmp_path: Path, spec: DataSpec, reader: IsolatedReader
) -> None:
    for case in range(QUICK):
        survive(kind, case, originals, tmp_path / str(case), spec, reader)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_end_in_an_import_or_a_sentence(
    kind: str, originals: Path, tmp_path: Path, spec: DataSpec, reader: IsolatedReader
) -> None:
    for case in range(QUICK, QUICK + MANY):
        survive(kind, case, originals, tmp_path / str(case), spec, reader)
        shutil.rmtree(tmp_path / str(case))


ODD = ("", "\x00", "../../etc", "<f8", "|O", "pickle", "NaN", "1e400", "\ud800", "{chunk}")
TREE_FORMATS = ("aloha", "aloha-jpeg", "robomimic", "droid", "vr")
CHANGES = ("delete", "empty", "scalar", "text", "nan", "short", "transposed", "enormous", "group", "constant")


def change(file: h5py.File, name: str, kind: str) -> None:
    """Something that a valid HDF5 file can hold and a careless importer does not expect."""
    before = file[name][()]
    del file[name]
    match kind:
        case "empty":
            file[name] = np.zeros((0, *before.shape[1:]), before.dtype)
        case "scalar":
            file[name] = 3.0
        case "text":
            file[name] = "words"
        case "nan":
            file[name] = np.full(before.shape, np.nan)
        case "short":
            file[name] = before[: len(before) // 2]
        case "transposed":
            file[name] = np.ascontiguousarray(before.T)
        case "enormous":
            shape = (10**9, *before.shape[1:])
            file.create_dataset(name, shape=shape, dtype=before.dtype, chunks=(1024, *before.shape[1:]))
        case "group":
            file.create_group(name)
        case "constant":
            file[name] = np.zeros_like(before)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_members_of_any_kind_end_in_an_import_or_a_sentence(
    data: st.DataObject, originals: Path, spec: DataSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(TREE_FORMATS))
    name = MAKERS[kind][0] if kind in MAKERS else "vr"
    folder = tmp_path_factory.mktemp("case") / "inbox"
    shutil.copytree(original(originals, kind, spec), folder)
    (path,) = [*folder.rglob("*.h5"), *folder.rglob("*.hdf5")]
    with h5py.File(path, "r+") as file:
        members: list[str] = []
        file.visititems(
            lambda member, item: members.append(member) if isinstance(item, h5py.Dataset) else None
        )
        for member in data.draw(
            st.lists(st.sampled_from(sorted(members)), min_size=1, max_size=2, unique=True)
        ):
            change(file, member, data.draw(st.sampled_from(CHANGES)))
    reader = Reader()
    answers = {"": ANSWERS.get(name, {})}
    for look in inspect_all(reader.find([folder]), SPECS.get(name, spec), answers, reader):
        assert look.finding.refused is None or len(look.finding.refused) > 5


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_descriptions_of_any_content_end_in_an_import_or_a_sentence(
    data: st.DataObject, originals: Path, spec: DataSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(["umi", "lerobot-v2.1", "lerobot-v3.0", "droid"]))
    name = MAKERS[kind][0]
    folder = tmp_path_factory.mktemp("case") / "inbox"
    shutil.copytree(original(originals, kind, spec), folder)
    described = sorted([*folder.rglob("*.json"), *folder.rglob(".zarray"), *folder.rglob(".zgroup")])
    path = data.draw(st.sampled_from(described))
    facts = json.loads(path.read_text())
    values = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(ODD),
        st.lists(st.integers(-1, 2**40), max_size=4),
    )
    for key in data.draw(st.lists(st.sampled_from(sorted(facts)), min_size=1, max_size=2)):
        facts[key] = data.draw(values)
    path.write_text(json.dumps(facts))
    reader = Reader()
    answers = {"": ANSWERS[name]}
    for look in inspect_all(reader.find([folder]), SPECS[name], answers, reader):
        assert look.finding.refused is None or len(look.finding.refused) > 5
