from __future__ import annotations

from pathlib import Path

import pytest

from hardware.keys import evdev_keys
from hardware.keys.evdev_keys import EvdevKeys
from hardware.keys.hotkeys import Hotkeys
from hardware.keys.interface import KeySourceError
from station.key_devices import HOTKEY_EXAMPLE, PEDAL_EXAMPLE, load_key_devices
from station.operator_config import KeyConfigError
from station.tui.keymap import default_keymap

TERMINAL = default_keymap().keys


@pytest.fixture(autouse=True)
def kernel_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of the kernel's names, so that no package is needed."""
    monkeypatch.setattr(
        "station.key_devices.known_keys", lambda: {"KEY_A": 30, "KEY_B": 48, "KEY_C": 46, "KEY_KP1": 79}
    )


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_tables_there_is_no_device(tmp_path: Path) -> None:
    assert load_key_devices(TERMINAL, tmp_path / "none.toml") == ()
    assert load_key_devices(TERMINAL, written(tmp_path, "[keys]\nvoid = 'b'\n")) == ()


def test_the_examples_of_the_messages_can_be_obeyed(tmp_path: Path) -> None:
    text = f"[pedals]\n{PEDAL_EXAMPLE}\n[hotkeys]\n{HOTKEY_EXAMPLE}\n"
    pedal, hotkeys = load_key_devices(TERMINAL, written(tmp_path, text))
    assert pedal.actions == {"KEY_A": "failure", "KEY_B": "stop", "KEY_C": "success"}
    assert isinstance(pedal.source(), EvdevKeys)
    assert hotkeys.actions == {"<ctrl>+<alt>+x": "stop"}
    assert isinstance(hotkeys.source(), Hotkeys)


def test_one_hotkey_may_do_what_the_same_key_does_in_the_terminal(tmp_path: Path) -> None:
    text = "[keys]\nevaluate = 'f9'\n[hotkeys]\n'<F9>' = 'evaluate'\n"
    (device,) = load_key_devices({**TERMINAL, "evaluate": ("f9",)}, written(tmp_path, text))
    assert device.actions == {"<f9>": "evaluate"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pedals]\npedal = { KEY_A = 'sucess' }\n", "Did you mean 'success'?"),
        ("[pedals]\npedal = { KEY_P1 = 'stop' }\n", "Did you mean 'KEY_KP1'?"),
        ("[pedals]\npedal = { key_b = 'stop' }\n", "Did you mean 'KEY_B'?"),
        ("[pedals]\npedal = 'stop'\n", "must name its keys"),
        ("[pedals]\npedal = {}\n", "must name its keys"),
        ("pedals = 3\n", "pedals must be a table"),
        ("[hotkeys]\n's' = 'success'\n", "would fire whenever somebody types it"),
        ("[hotkeys]\n'<ctlr>+s' = 'success'\n", "Did you mean '<ctrl>'?"),
        ("[hotkeys]\n'<ctrl>+x' = 'success'\n", "the same key is 'stop' in the terminal"),
        ("[hotkeys]\n'<ctrl>+r' = 'go'\n", "the same key is 'rearm' in the terminal"),
        ("[hotkeys]\n'<f9>' = 3\n", "there is no action '3'"),
    ],
)
def test_a_bad_table_is_refused_with_file_reason_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(KeyConfigError, match=r"config\.toml") as refusal:
        load_key_devices(TERMINAL, written(tmp_path, text))
    assert said in str(refusal.value)


def test_without_the_package_the_table_is_read_and_the_device_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> dict[str, int]:
        raise KeySourceError(f"{evdev_keys.MISSING}.")

    monkeypatch.setattr("station.key_devices.known_keys", missing)
    monkeypatch.setattr("hardware.keys.evdev_keys.known_keys", missing)
    (device,) = load_key_devices(TERMINAL, written(tmp_path, "[pedals]\npedal = { KEY_B = 'stop' }\n"))
    with pytest.raises(KeySourceError, match=r"pip install 'station\[hotkeys\]'.*apt install gcc"):
        device.source().open()
