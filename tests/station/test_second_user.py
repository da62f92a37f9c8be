"""A second user of the same machine can look at a session, and can neither steer, stall nor forge it."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

import pytest

from datasets import lock
from datasets.exporters.error import ExportError
from datasets.exporters.staging import Workplace
from datasets.journal.journal import Journal
from datasets.lock import LockedError, WriterLock, holder
from datasets.own_files import OWNERS, NotOursError, open_own
from datasets.verify import verify
from hardware.latch import StopLatch
from station.operator_config import KeyConfigError
from station.session.core.events import EventSource
from station.session.folder import SessionFolder
from station.session.link import address
from station.session.link.client import set_latch
from station.session.link.server import Link
from station.session.status import count
from station.trust import grant_operators_own
from tests.station.session.fakes import make_folder
from tests.users import ANOTHER, SOMEBODY, as_user, hand_over, meanwhile, needs_another_user

pytestmark = needs_another_user


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's files are ours, and no test looks into the real config."""
    monkeypatch.setenv(OWNERS, "")
    monkeypatch.setenv("STATION_CONFIG", str(tmp_path / "config.toml"))


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    """A session of somebody, in which everybody may write: only the owner tells whose it is."""
    made = make_folder(tmp_path / "s")
    Journal(made.journal, writable=True)
    for path in (made.path, *made.path.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    hand_over(made.path, SOMEBODY)
    return made


def test_a_colleagues_session_is_counted_and_verified(folder: SessionFolder) -> None:
    def look() -> str:
        opened = SessionFolder.open(folder.path)
        return f"{count(opened).episodes} episodes, sound: {verify([], opened.journal).ok}"

    assert as_user(ANOTHER, look) == "0 episodes, sound: True"


def test_a_colleagues_session_is_not_written_although_its_files_would_allow_it(folder: SessionFolder) -> None:
    def write() -> None:
        with SessionFolder.open(folder.path).writing():
            pass

    said = as_user(ANOTHER, write)
    assert said.startswith("NotOursError") and f"belongs to user {SOMEBODY}" in said and "cp -r" in said
    assert as_user(SOMEBODY, write) == "None"


def test_a_file_of_another_user_is_not_written_although_everybody_may(tmp_path: Path) -> None:
    file = tmp_path / "theirs"
    file.write_text("thesis")
    file.chmod(0o666)
    os.chown(file, ANOTHER, ANOTHER)
    with pytest.raises(NotOursError, match="belongs to user"):
        open_own(file, "wb")
    assert file.read_text() == "thesis"


def test_root_leaves_no_files_of_its_own_in_somebodys_session_unless_told(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotOursError, match=f"station --trust-owner {SOMEBODY}"), folder.writing():
        pass
    assert not folder.lock.exists()
    monkeypatch.setenv(OWNERS, str(SOMEBODY))
    with folder.writing():
        pass


def test_one_file_of_another_user_in_a_session_of_ours_is_named(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "mine")
    made.latch.touch(0o666)
    os.chown(made.latch, ANOTHER, ANOTHER)
    with pytest.raises(NotOursError, match=r"stop\.latch belongs to user"), made.writing():
        pass


def test_a_stop_that_another_user_could_take_back_is_not_relied_on(tmp_path: Path) -> None:
    path = tmp_path / "stop.latch"
    path.touch()
    os.chown(path, ANOTHER, ANOTHER)
    with pytest.raises(NotOursError, match="belongs to user"):
        StopLatch(path)


def test_a_latch_that_all_may_write_is_shut_before_it_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "stop.latch"
    path.touch()
    path.chmod(0o666)
    latch = StopLatch(path)
    assert path.stat().st_mode & 0o077 == 0
    latch.close()


def test_everybody_who_may_open_a_latch_can_stop(folder: SessionFolder) -> None:
    set_latch(folder, EventSource.COMMAND)  # by root, in somebody's session
    hand_over(folder.path, SOMEBODY)
    assert as_user(SOMEBODY, lambda: StopLatch(folder.latch).latched) == "True"


def test_who_may_read_a_lock_cannot_make_its_owner_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_LOOKING", 0.1)
    path = tmp_path / "lock"
    path.touch()
    hand_over(tmp_path, 0)
    tmp_path.chmod(0o755)

    def share() -> int:
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    with (
        meanwhile(ANOTHER, share) as pid,
        pytest.raises(LockedError, match=rf"process {pid} of user nobody"),
    ):
        WriterLock(path).acquire()
    with WriterLock(path) as ours:
        assert ours.held


def test_the_holder_of_a_lock_is_named_by_the_system_and_not_by_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    path.chmod(0o666)
    hand_over(tmp_path, 0)
    tmp_path.chmod(0o755)

    def forge() -> int:
        descriptor = os.open(path, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, b"1\ninit\n")
        return descriptor

    with meanwhile(ANOTHER, forge) as pid:
        assert holder(path) == pid
        with pytest.raises(LockedError, match=rf"process {pid} of user nobody\. "):
            WriterLock(path, mode=0o666).acquire()


def test_engine_and_client_of_two_users_do_not_listen_to_each_other(tmp_path: Path) -> None:
    hand_over(tmp_path, 0)
    tmp_path.chmod(0o777)
    meeting = tmp_path / "meeting.sock"

    def listens() -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(meeting))
        meeting.chmod(0o777)
        listener.listen()
        return listener

    with meanwhile(SOMEBODY, listens) as pid, socket.socket(socket.AF_UNIX) as end:
        end.connect(str(meeting))
        with pytest.raises(address.LinkError, match=rf"Process {pid} of user {SOMEBODY} answers"):
            address.require_own(end)
    meeting.unlink()
    with listens() as listener:

        def calls() -> socket.socket:
            end = socket.socket(socket.AF_UNIX)
            end.connect(str(meeting))
            return end

        with meanwhile(ANOTHER, calls) as pid:
            end, _ = listener.accept()
            with end, pytest.raises(address.LinkError, match=rf"Process {pid} of user {ANOTHER}"):
                address.require_own(end)


def test_an_engine_hangs_up_on_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    link = Link(make_folder(tmp_path / "mine"))
    room = tmp_path / f"station-{os.geteuid()}"
    (meeting,) = room.iterdir()
    hand_over(tmp_path, 0)
    for path in (tmp_path, room, meeting):
        path.chmod(0o777)

    def first_byte() -> bytes:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(meeting))
            return end.recv(1)

    assert first_byte() == b"s"
    assert as_user(ANOTHER, first_byte) == "b''"
    link.close()


def test_a_room_that_another_user_made_beforehand_is_not_entered(
    folder: SessionFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    room = tmp_path / f"station-{os.geteuid()}"
    room.mkdir(mode=0o700)
    os.chown(room, ANOTHER, ANOTHER)
    with pytest.raises(address.LinkError, match="belongs to user nobody"):
        address.listen(folder.path)
    assert not list(room.iterdir())


def test_an_export_takes_up_nothing_that_another_user_began(tmp_path: Path) -> None:
    staging = tmp_path / ".out.partial"
    (staging / "parts").mkdir(parents=True)
    os.chown(staging, ANOTHER, ANOTHER)
    with (
        pytest.raises(ExportError, match="belongs to user nobody"),
        Workplace(tmp_path / "out", "fingerprint", single=False),
    ):
        pass


@pytest.mark.parametrize(
    ("owner", "mode", "said"), [(ANOTHER, 0o644, "belongs to user"), (0, 0o666, "chmod o-w")]
)
def test_code_is_not_trusted_by_a_file_that_another_user_may_write(
    tmp_path: Path, owner: int, mode: int, said: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[trust]\nclasses = ["trap:Mine"]\n')
    config.chmod(mode)
    os.chown(config, owner, owner)
    with pytest.raises(KeyConfigError, match=said):
        grant_operators_own()
