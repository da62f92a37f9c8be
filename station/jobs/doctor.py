"""Checks the machine before it costs the operator time: what is missing, and the command that fixes it.

Every library is imported in its own child process, so one that crashes on import (no system GL, an
illegal instruction) is a line of the report instead of its end. Changes nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.errors import UsageError
from hardware.cell import Check

if TYPE_CHECKING:
    from station.key_devices import KeyDevice

MINIMUM_PYTHON = (3, 11)
MINIMUM_TERMINAL = (100, 30)
NEEDED_DISK_GB = 2.0
IMPORT_TIMEOUT = 120.0


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library to import, and the remedy if it fails."""

    module: str
    purpose: str
    remedy: str
    optional: bool = False
    probe: str = ""
    """Python that prints a detail after the import; the version is printed where it is empty."""


@dataclass(frozen=True, kw_only=True)
class MachineFinding:
    """One line of the report."""

    check: Check
    optional: bool = False


_TORCH = """
kind = "CUDA" if m.cuda.is_available() else "CPU only"
print(m.__version__, "-", m.get_num_threads(), "threads,", kind)
"""
_MUJOCO = """
body = '<body><freejoint/><geom size=".1"/></body>'
model = m.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
m.mj_step(model, m.MjData(model))
print(m.__version__, "- steps")
"""

LIBRARIES = (
    Library(module="torch", purpose="policies", remedy="make install", probe=_TORCH),
    Library(module="mujoco", purpose="the simulated cell", remedy="make install", probe=_MUJOCO),
    Library(module="zarr", purpose="the episode store", remedy="make install"),
    Library(module="h5py", purpose="VR recordings", remedy="make install"),
    Library(
        module="cv2",
        purpose="image resizing",
        remedy="pip uninstall opencv-python && pip install --force-reinstall opencv-python-headless",
    ),
    Library(module="textual", purpose="the terminal UI", remedy="make install"),
    Library(
        module="textual_serve", purpose="the UI in a browser", remedy="make install", probe="print('present')"
    ),
    Library(module="xarm", purpose="UFACTORY xArm", remedy="pip install '.[xarm]'", optional=True),
    Library(module="franky", purpose="Franka arms", remedy="pip install '.[franka]'", optional=True),
    Library(
        module="minimalmodbus",
        purpose="Robotiq on RS485",
        remedy="pip install '.[robotiq]'",
        optional=True,
    ),
    Library(
        module="pyrealsense2",
        purpose="RealSense cameras",
        remedy="pip install '.[realsense]' and apt install libusb-1.0-0",
        optional=True,
    ),
    Library(
        module="evdev",
        purpose="foot pedals",
        remedy="apt install gcc python3-dev linux-libc-dev, then pip install '.[hotkeys]'",
        optional=True,
    ),
)


def examine(sessions: Path) -> Iterator[MachineFinding]:
    """Every check, in the order of the report; `sessions` is where sessions will be written."""
    yield MachineFinding(check=_python())
    yield from examine_libraries(LIBRARIES)
    yield MachineFinding(check=_terminal(), optional=True)
    yield MachineFinding(check=_colours(), optional=True)
    yield MachineFinding(check=_disk(sessions))
    yield MachineFinding(check=_memory(), optional=True)
    yield from examine_keys()
    yield from examine_policy_servers()


def healthy(findings: list[MachineFinding]) -> bool:
    """Whether everything required is present."""
    return all(finding.check.ok or finding.optional for finding in findings)


def _python() -> Check:
    return Check(
        name="python",
        ok=sys.version_info[:2] >= MINIMUM_PYTHON,
        detail=f"{sys.version.split()[0]} at {sys.executable}, {os.cpu_count()} processors",
        remedy="Install Python 3.11 or newer and run 'make install' again.",
    )


def examine_libraries(libraries: tuple[Library, ...]) -> Iterator[MachineFinding]:
    """Import each in a child process, two at a time: they are heavy."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        for library, check in zip(libraries, pool.map(_try_import, libraries), strict=True):
            yield MachineFinding(check=check, optional=library.optional)


def _try_import(library: Library) -> Check:
    probe = library.probe or "print(getattr(m, '__version__', 'present'))"
    program = f"import {library.module} as m\n{probe}"
    name = f"{library.module} ({library.purpose})"
    try:
        child = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=IMPORT_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check(name=name, ok=False, detail="import does not end", remedy=library.remedy)
    if child.returncode == 0:
        return Check(name=name, ok=True, detail=child.stdout.strip().splitlines()[-1])
    return Check(name=name, ok=False, detail=_last_words(library.module, child), remedy=library.remedy)


def _last_words(module: str, child: subprocess.CompletedProcess[str]) -> str:
    if child.returncode < 0:
        return f"dies while it is imported (signal {-child.returncode})"
    lines = child.stderr.strip().splitlines()
    if lines and lines[-1] == f"ModuleNotFoundError: No module named '{module}'":
        return "not installed"
    return lines[-1] if lines else f"ends with exit code {child.returncode}"


def examine_keys() -> Iterator[MachineFinding]:
    """Pedals and hotkeys: those in the operator's file must work, others are only mentioned."""
    from station.operator_config import KeyConfigError

    devices: tuple[KeyDevice, ...] = ()
    try:
        from station.key_devices import load_key_devices
        from station.tui.keymap import load_keymap

        keymap = load_keymap()
        for sentence in keymap.warnings:
            yield MachineFinding(check=Check(name="keys", ok=False, detail=sentence), optional=True)
        devices = load_key_devices(keymap.keys)
    except ImportError:
        # without the terminal UI's library there are no keys to check; its absence was reported above
        return
    except KeyConfigError as error:
        yield MachineFinding(
            check=Check(name="keys", ok=False, detail=str(error), remedy="Correct that line.")
        )
    for device in devices:
        if not device.is_hotkeys:
            yield MachineFinding(check=_pedal(device.name))
    yield MachineFinding(check=_input_devices(), optional=True)
    wanted = any(device.is_hotkeys for device in devices)
    yield MachineFinding(check=_hotkeys(wanted=wanted), optional=not wanted)


def _pedal(name: str) -> Check:
    """Check that it exists and is readable, without taking it from a running station."""
    from hardware.keys.evdev_keys import DENIED, find, known_keys
    from hardware.keys.interface import KeySourceError
    from station.operator_config import config_path

    remedy = f"Until then take it out of {config_path()}; the terminal's keys work without it."
    try:
        known_keys()
        path = find(name)
    except KeySourceError as error:
        return Check(name="pedal", ok=False, detail=str(error), remedy=remedy)
    readable = os.access(path, os.R_OK)
    detail = f"{name} at {path}" if readable else f"{name}: {DENIED}"
    return Check(name="pedal", ok=readable, detail=detail, remedy=remedy)


def _input_devices() -> Check:
    from hardware.keys.evdev_keys import FOLDERS, present

    found = present()
    if not found:
        there = FOLDERS[0].parent.exists()
        why = "nothing is plugged in" if there else f"{FOLDERS[0].parent} is missing, as in a container"
        return Check(
            name="foot pedals",
            ok=False,
            detail=f"none can work here: {why}",
            remedy="Nothing to do without a pedal or number pad: the terminal's keys always work.",
        )
    readable = [path for path in found if os.access(path, os.R_OK)]
    names = ", ".join(path.name for path in readable) or "none"
    return Check(
        name="foot pedals",
        ok=len(readable) == len(found),
        detail=f"{len(found)} in {FOLDERS[0]}; may be read: {names}",
        remedy="Only for foot pedals: sudo usermod -aG input $USER, then log in again.",
    )


def _hotkeys(*, wanted: bool) -> Check:
    from hardware.keys.hotkeys import UNANSWERED, warning, without_display
    from station.operator_config import config_path

    spare = "Nothing to do: the terminal's keys always work."
    asked = f"Take [hotkeys] out of {config_path()}, or start the station on a desktop with an X server."
    why = without_display(os.environ)
    if why:
        return Check(name="hotkeys", ok=False, detail=why, remedy=asked if wanted else spare)
    found = _try_import(
        Library(
            module="pynput.keyboard",
            purpose="hotkeys",
            remedy="apt install gcc python3-dev linux-libc-dev, then pip install '.[hotkeys]'",
            probe="print('present')",
        )
    )
    if not found.ok and "ModuleNotFoundError" not in found.detail:
        detail = UNANSWERED.format(display=os.environ.get("DISPLAY"))
        return Check(name="hotkeys", ok=False, detail=detail, remedy=asked if wanted else spare)
    limited = warning(os.environ)
    return Check(name="hotkeys", ok=found.ok, detail=limited or found.detail, remedy=found.remedy)


def _terminal() -> Check:
    size = shutil.get_terminal_size()
    width, height = MINIMUM_TERMINAL
    return Check(
        name="terminal size",
        ok=size.columns >= width and size.lines >= height,
        detail=f"{size.columns}x{size.lines}",
        remedy=f"Make the window at least {width}x{height}, or use a smaller font.",
    )


def _colours() -> Check:
    term, colours = os.environ.get("TERM", ""), os.environ.get("COLORTERM", "")
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return Check(
        name="terminal colours",
        ok=utf8 and (colours in ("truecolor", "24bit") or "256" in term),
        detail=f"TERM={term or '-'} COLORTERM={colours or '-'} {sys.stdout.encoding}",
        remedy="export COLORTERM=truecolor LANG=C.UTF-8 (in tmux also: set -g default-terminal tmux-256color)",
    )


def _disk(sessions: Path) -> Check:
    folder = sessions.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    writable = os.access(folder, os.W_OK)
    return Check(
        name="disk",
        ok=writable and free >= NEEDED_DISK_GB,
        detail=f"{free:.1f} GB free at {folder}" + ("" if writable else ", not writable"),
        remedy=f"Free {NEEDED_DISK_GB:.0f} GB, or point STATION_SESSIONS at another disk.",
    )


def _memory() -> Check:
    import psutil

    available = psutil.virtual_memory().available / 1e9
    return Check(
        name="memory",
        ok=available >= 2.0,
        detail=f"{available:.1f} GB available",
        remedy="Close other programs; training keeps its images in memory.",
    )


def examine_policy_servers() -> Iterator[MachineFinding]:
    """Connect to every policy server that the operator's file names; a run checks whether it has the session's base."""
    from policy.remote.error import RemotePolicyError
    from policy.remote.line import Line
    from station.policy_access import HERE, policy_access

    try:
        access = policy_access()
    except UsageError as error:
        yield MachineFinding(check=Check(name="policy server", ok=False, detail=str(error), remedy=_GUIDE))
        return
    for session, url in access.sessions.items():
        if url == HERE:
            continue
        name = f"policy server of {session}"
        try:
            line = Line(access.address(url))
            said = line.connect()
            line.close()
        except (UsageError, RemotePolicyError) as error:
            yield MachineFinding(check=Check(name=name, ok=False, detail=str(error), remedy=_GUIDE))
            continue
        detail = f"{str(said.get('hash'))[:16]} computes on {said.get('device')}, at {url}"
        yield MachineFinding(check=Check(name=name, ok=True, detail=detail))


_GUIDE = "Every step: station guide remote-policy"
