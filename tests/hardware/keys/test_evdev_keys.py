from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hardware.keys import evdev_keys
from hardware.keys.evdev_keys import EvdevKeys, find, present
from hardware.keys.interface import KeyPress, KeySourceError
from hardware.keys.listener import KeyListener
from tests.hardware.keys.conftest import HOTKEYS, eventually

evdev = pytest.importorskip("evdev", reason=f"evdev is missing: {HOTKEYS}")

from tests.emulators.keys import Pedal  # noqa: E402

pytestmark = pytest.mark.realtime

A, B, C = 30, 48, 46
"""Kernel numbers of KEY_A, KEY_B, KEY_C."""
NAME = "usb-PCsensor_FootSwitch-event-kbd"


@pytest.fixture
def plugged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stable names with a pedal and a keyboard."""
    folder = tmp_path / "by-id"
    folder.mkdir()
    for number, name in enumerate((NAME, "usb-Logitech_Keyboard-event-kbd")):
        (tmp_path / f"event{number}").touch()
        (folder / name).symlink_to(tmp_path / f"event{number}")
    monkeypatch.setattr(evdev_keys, "FOLDERS", (folder, tmp_path / "by-path"))
    return folder


@pytest.fixture
def pedal() -> Iterator[Pedal]:
    pedal = Pedal()
    yield pedal
    pedal.close()
    with suppress(OSError):
        pedal.unplug()


def opened(pedal: Pedal, *keys: str) -> EvdevKeys:
    source = EvdevKeys(NAME, keys or ("KEY_A", "KEY_B"), lambda _: pedal)
    assert source.open() == "PCsensor FootSwitch"
    return source


def presses(source: EvdevKeys) -> list[str]:
    """Everything that was pressed so far."""
    found: list[KeyPress] = []
    while (press := source.read(0.0)) is not None:
        found.append(press)
    return [press.key for press in found]


@pytest.mark.usefixtures("plugged_in")
def test_a_press_is_named_dated_and_kept_from_everything_else(pedal: Pedal) -> None:
    source = opened(pedal)
    assert pedal.grabbed
    before = time.monotonic()
    pedal.press(B)
    press = source.read(1.0)
    assert press is not None
    assert (press.device, press.key) == (NAME, "KEY_B")
    assert before <= press.time <= time.monotonic()
    assert source.read(0.0) is None


@pytest.mark.usefixtures("plugged_in")
def test_holding_and_bouncing_make_one_press(pedal: Pedal) -> None:
    source = opened(pedal)
    pedal.press(A, repeats=30, bounces=3)
    pedal.press(B)
    assert presses(source) == ["KEY_A", "KEY_B"]


@pytest.mark.usefixtures("plugged_in")
def test_two_presses_in_a_row_are_two(pedal: Pedal) -> None:
    source = opened(pedal)
    for _ in range(2):
        pedal.press(A)
        time.sleep(0.06)
        assert presses(source) == ["KEY_A"]


@pytest.mark.usefixtures("plugged_in")
def test_keys_without_a_meaning_are_swallowed(pedal: Pedal) -> None:
    source = opened(pedal, "KEY_A")
    pedal.press(C)
    pedal.press(A)
    assert presses(source) == ["KEY_A"]


@pytest.mark.usefixtures("plugged_in")
def test_a_device_that_another_program_holds_is_refused(pedal: Pedal) -> None:
    pedal.held_by_another = True
    with pytest.raises(KeySourceError, match="another program holds"):
        opened(pedal)


@pytest.mark.usefixtures("plugged_in")
def test_missing_rights_come_with_the_line_that_gives_them() -> None:
    def forbidden(path: str) -> Pedal:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    with pytest.raises(KeySourceError, match=r"sudo usermod -aG input \$USER"):
        EvdevKeys(NAME, ("KEY_A",), forbidden).open()


@pytest.mark.usefixtures("plugged_in")
def test_a_pedal_that_is_not_there_is_answered_with_the_nearest_that_is() -> None:
    with pytest.raises(KeySourceError, match=f"Did you mean '{NAME}'"):
        find("usb-PCsensor_FotSwitch-event-kbd")


def test_a_machine_without_input_devices_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evdev_keys, "FOLDERS", (tmp_path / "none",))
    with pytest.raises(KeySourceError, match="no input device is plugged into this machine"):
        find(NAME)


def test_a_device_with_two_names_is_listed_once_by_id(plugged_in: Path, tmp_path: Path) -> None:
    (tmp_path / "by-path").mkdir()
    (tmp_path / "by-path" / "pci-0-event-kbd").symlink_to(tmp_path / "event0")
    assert [path.name for path in present()] == ["usb-Logitech_Keyboard-event-kbd", NAME]


@pytest.mark.usefixtures("plugged_in")
def test_an_unplugged_pedal_is_told_of_and_taken_up_again(pedal: Pedal) -> None:
    second = Pedal()
    plugged = [pedal, second]
    heard: list[str] = []
    troubles: list[str] = []
    source = EvdevKeys(NAME, ("KEY_A", "KEY_B"), lambda _: plugged.pop(0))
    listener = KeyListener(source, lambda press: heard.append(press.key), troubles.append, retry=0.01)
    listener.start()
    pedal.press(A)
    assert eventually(lambda: heard == ["KEY_A"])
    pedal.unplug()
    assert eventually(lambda: second.grabbed)
    second.press(B)
    assert eventually(lambda: heard == ["KEY_A", "KEY_B"])
    listener.close()
    assert [bool(trouble) for trouble in troubles] == [True, False]
    assert "Plug it in again" in troubles[0]
    assert second.fd == -1
    second.unplug()


@pytest.mark.skipif(
    not os.access("/dev/uinput", os.W_OK),
    reason="this kernel gives no /dev/uinput to write to: sudo modprobe uinput, then run as root",
)
def test_the_kernel_gives_our_presses_to_nobody_else() -> None:
    with evdev.UInput({evdev.ecodes.EV_KEY: [A, B]}, name="station test pedal") as foot:
        path = foot.device.path
        bystander = evdev.InputDevice(path)
        source = EvdevKeys(path, ("KEY_B",))
        assert source.open() == "station test pedal"
        before = time.monotonic()
        for value in (1, 0):
            foot.write(evdev.ecodes.EV_KEY, B, value)
            foot.syn()
        press = source.read(5.0)
        assert press is not None and press.key == "KEY_B"
        assert before <= press.time <= time.monotonic()
        assert not select.select([bystander], [], [], 0.2)[0]
        source.close()
        bystander.close()
