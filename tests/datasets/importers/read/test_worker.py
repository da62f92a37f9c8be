"""The reader's own process: what kills, hangs or swells it refuses one episode and spoils no other."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from datasets.importers.defects import Defect
from datasets.importers.findings import Answers, Finding, Look
from datasets.importers.interface import Source
from datasets.importers.read import worker
from datasets.importers.read.reading_process import Find, Fingerprinted, Found, answers_within
from datasets.importers.read.worker import IsolatedReader, _Child
from datasets.messages import HEAD
from datasets.spec import DataSpec
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, SPECS


@pytest.fixture
def reader() -> Iterator[IsolatedReader]:
    reader = IsolatedReader(patience=20)
    yield reader
    reader.close()


def child(reader: IsolatedReader) -> psutil.Process:
    assert reader._child is not None
    return psutil.Process(reader._child._process.pid)


@pytest.mark.slow
def test_another_process_reads_what_this_one_would(tmp_path: Path, reader: IsolatedReader) -> None:
    here = Desk(tmp_path / "here", SPECS["aloha"], ANSWERS["aloha"])
    there = Desk(tmp_path / "there", SPECS["aloha"], ANSWERS["aloha"])
    path = sources.aloha(here.inbox / "episode_0.hdf5")
    (one,) = here.run()
    (other,) = there.start(path, reader=reader)
    assert one.finding == other.finding and other.outline is not None
    mine, theirs = here.store.load(str(one.episode)), there.store.load(str(other.episode))
    np.testing.assert_array_equal(mine.images["front"], theirs.images["front"])
    np.testing.assert_array_equal(mine.action, theirs.action)


@pytest.mark.slow
def test_a_module_that_lies_where_one_stands_is_not_run_by_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    started = _Child(2**30, 30)
    assert started.ask(Find(path=tmp_path, forced=None, follow=False, within=tmp_path)) == Found(sources=[])
    started.end()


@pytest.mark.slow
def test_ctrl_c_does_not_touch_a_reader_not_even_while_it_starts(tmp_path: Path) -> None:
    started = _Child(2**30, 30)
    os.kill(started._process.pid or 0, signal.SIGINT)
    request = Find(path=tmp_path, forced=None, follow=False, within=tmp_path)
    assert started.ask(request) == Found(sources=[])
    started.end()


@pytest.mark.slow
def test_a_reader_that_is_killed_refuses_one_episode_and_the_next_is_read(
    tmp_path: Path, reader: IsolatedReader
) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    for number in range(2):
        sources.aloha(desk.inbox / f"episode_{number}.hdf5", bgr=bool(number))
    first, second = reader.find([desk.inbox])
    assert not isinstance(first, Finding) and not isinstance(second, Finding)
    (refused,) = list(desk.start(first.path, reader=Doomed(reader)))
    assert refused.finding.defects[0].defect is Defect.READER_DIED
    assert "SIGKILL" in str(refused.refused)
    (taken,) = list(desk.start(second.path, reader=reader))
    assert taken.refused is None


class Doomed:
    """A reader whose child is dead by the time it is asked to look."""

    def __init__(self, reader: IsolatedReader) -> None:
        self._reader = reader
        self.find = reader.find
        self.fingerprint = reader.fingerprint

    def look(
        self, source: Source, spec: DataSpec, answers: Answers, *, fingerprint: str, ordinal: int
    ) -> Look:
        child(self._reader).kill()
        return self._reader.look(source, spec, answers, fingerprint=fingerprint, ordinal=ordinal)


@pytest.mark.slow
def test_a_reader_that_hangs_is_given_up(tmp_path: Path) -> None:
    reader = IsolatedReader(patience=0.5)
    path = sources.aloha(tmp_path / "episode_0.hdf5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_patience", 30.0)
        assert len(reader.find([path])) == 1
    assert reader._child is not None
    reader._child._patience = 0.3
    process = child(reader)
    process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    (answer,) = reader.find([path])
    assert time.monotonic() - begun < 10
    assert "hung" in str(getattr(answer, "refused", ""))
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    reader.close()


@pytest.mark.slow
def test_a_reader_that_is_no_longer_needed_leaves_nothing_to_be_warned_of(tmp_path: Path) -> None:
    path = sources.umi(tmp_path / "replay.zarr.zip")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from datasets.importers.read.worker import isolated_reader\n"
        "if __name__ == '__main__':\n"
        "    with isolated_reader() as reader:\n"
        "        print(len([reader.fingerprint(source) for source in reader.find([Path(sys.argv[1])])]))\n"
    )
    program = tmp_path / "program.py"
    program.write_text(script)
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(program), str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("2\n", "")


@pytest.mark.slow
def test_a_pipe_among_recordings_is_refused_and_not_waited_for(
    tmp_path: Path, reader: IsolatedReader
) -> None:
    os.mkfifo(tmp_path / "episode_0.hdf5")
    os.mkfifo(tmp_path / "log")
    sources.aloha(tmp_path / "episode_1.hdf5")
    pipe, recording = reader.find([tmp_path])
    assert isinstance(pipe, Finding) and isinstance(recording, Source)
    assert pipe.refused == "a pipe, socket or device, neither file nor folder"
    (named,) = reader.find([tmp_path / "log"])
    assert isinstance(named, Finding) and named.refused == pipe.refused


class Runs:
    """A pickle that leaves a mark where it is read."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._mark,)


def test_a_reader_that_was_taken_over_runs_nothing_in_its_parent_and_swells_it_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    hostile = pickle.dumps(Runs(mark))
    swelling = HEAD.pack(b"stn1", 10, 2**50)
    another = HEAD.pack(b"stn1", 13, 0) + b'{"Runs": {} }'
    wrong = b"".join(answers_within(2**20).encode(Fingerprinted(text="f" * 16)))
    monkeypatch.setattr(worker, "_PROCESS", "tests.datasets.importers.read.taken_over")
    for said in (len(hostile).to_bytes(4, "big") + hostile, swelling, another, wrong):
        monkeypatch.setenv("TAKEN_OVER_SAYS", said.hex())
        reader = IsolatedReader(patience=30)
        (finding,) = reader.find([tmp_path / "nothing"])
        assert isinstance(finding, Finding) and finding.defects[0].defect is Defect.READER_DIED
        assert not mark.exists()
        reader.close()


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "greedy.pkl"
    # a pickle that begins with "observations" and says that 64 GB of bytes follow
    path.write_bytes(b"\x80\x04\x8c\x0cobservations\x8e" + (2**36).to_bytes(8, "little"))
    reader = IsolatedReader(memory=2**29, patience=30)
    (finding,) = reader.find([path])
    assert "memory" in str(getattr(finding, "refused", ""))
    reader.close()


@pytest.mark.slow
def test_a_pickle_that_needs_more_memory_than_others_may_have_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    ballast = np.zeros(2**29, np.uint8)
    row = {"observations": {"state": np.zeros(3), "ballast": ballast}, "actions": np.zeros(7), "dones": True}
    path.write_bytes(pickle.dumps([row]))
    reader = IsolatedReader(memory=2**28, patience=30)
    (source,) = reader.find([path])
    assert getattr(source, "refused", None) is None
    reader.close()


def test_a_file_that_only_claims_to_be_large_gets_no_more_memory_than_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "holes.npz").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "import-description.toml").write_text("")
    free = SimpleNamespace(available=1 << 30)
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    assert IsolatedReader()._extra(Source(path=tmp_path, format="described")) == free.available


class Evil:
    """What a pickle from a stranger may hold."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/this-must-not-exist",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_builds_arrays_and_nothing_else(tmp_path: Path, protocol: int) -> None:
    desk = Desk(tmp_path, SPECS["hil-serl"], ANSWERS["hil-serl"])
    sources.hil_serl(desk.inbox / "good.pkl", episodes=1, protocol=protocol)
    evil = [{"observations": Evil(), "actions": np.zeros(7), "dones": True}]
    (desk.inbox / "evil.pkl").write_bytes(pickle.dumps(evil, protocol=protocol))
    refused, good = desk.run()
    assert "system, which is not plain data" in str(refused.refused)
    assert not Path("/tmp/this-must-not-exist").exists()
    assert good.refused is None


def test_pickles_of_the_older_numpy_are_read(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["hil-serl"], ANSWERS["hil-serl"])
    path = sources.hil_serl(desk.inbox / "good.pkl", episodes=1, protocol=2)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    (result,) = desk.run()
    assert result.refused is None


def test_a_pickle_that_does_not_fit_into_memory_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, SPECS["hil-serl"], ANSWERS["hil-serl"])
    sources.hil_serl(desk.inbox / "good.pkl", episodes=1)
    few = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: few)
    (result,) = desk.run()
    assert "a pickle is read whole" in str(result.refused)
