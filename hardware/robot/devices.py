"""One session per device on a machine: locks that every program takes before it opens devices.

A controller's process inherits the locks, so the arm of a killed engine stays locked until it has been braked. Two
computers on one network do not see each other's locks.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from datasets.lock import LockedError, WriterLock
from datasets.own_files import require_folder
from hardware.cell import CellError
from hardware.robot.settings import RobotCellSettings

_PLACES = Path("/run/lock"), Path("/tmp")
"""Not $TMPDIR, which may differ between users."""
_ORPHANED = 4.0  # s that controllers of a killed engine may need to brake and exit
_LOOK_EVERY = 0.05  # s


class DeviceInUseError(CellError):
    """Another running program has opened this device."""


class DeviceLocks:
    """Locks on the devices of one cell; `take`, then `release`."""

    def __init__(self, settings: RobotCellSettings) -> None:
        """Locks nothing."""
        self._settings = settings
        self._locks: list[WriterLock] = []

    @property
    def descriptors(self) -> list[int]:
        """Descriptors for a child process to inherit, so that the devices stay locked until it too has exited."""
        return [lock.descriptor for lock in self._locks if lock.held]

    def take(self) -> None:
        """Lock all devices. Raises DeviceInUseError after releasing those already locked."""
        until = time.monotonic() + _ORPHANED
        try:
            for device, name in dict(self._devices()).items():
                if device:
                    self._take(device, name, until)
        except CellError:
            self.release()
            raise

    def release(self) -> None:
        """Release all locks; safe to call twice."""
        while self._locks:
            self._locks.pop().release()

    def _take(self, device: str, name: str, until: float) -> None:
        path = _path(device)
        lock = WriterLock(path, mode=0o666)
        while True:
            try:
                require_folder(path.parent)
                lock.acquire()
            except LockedError as error:
                if _goes_on(error.pid) or time.monotonic() > until:
                    raise DeviceInUseError(
                        f"{name}: {error.who} already uses the {device}; a device allows one session only. Quit the "
                        "other (q there, then end its engine), then continue."
                    ) from error
                time.sleep(_LOOK_EVERY)
            except OSError as error:
                raise CellError(
                    f"{name}: cannot check whether another session uses the {device} ({error}). Make "
                    f"{lock.path.parent} writable for all users of the station."
                ) from error
            else:
                self._locks.append(lock)
                return

    def _devices(self) -> Iterator[tuple[str, str]]:
        """Every exclusive device and its name in the task file; an arm's name takes precedence."""
        for camera in self._settings.cameras:
            yield camera.occupies, camera.name
        for arm in self._settings.arms:
            if arm.gripper is not None:
                yield arm.gripper.occupies, f"{arm.name} {arm.gripper.name}"
        for arm in self._settings.arms:
            yield arm.occupies, arm.name


def _path(device: str) -> Path:
    """The path of a device's lock, the same for every user."""
    place = next((each for each in _PLACES if _is_everybodys(each)), _PLACES[-1]) / "station-devices"
    # whoever creates it gives all users access, regardless of umask
    with suppress(FileExistsError):
        place.mkdir()
        place.chmod(0o1777)
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", device)[-60:]
    return place / f"{readable}-{hashlib.sha256(device.encode()).hexdigest()[:8]}"


def _is_everybodys(place: Path) -> bool:
    return place.is_dir() and bool(place.stat().st_mode & stat.S_IWOTH)


def _goes_on(pid: int | None) -> bool:
    """Whether the process that took a lock still runs; if not, only child processes it left behind hold it."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
