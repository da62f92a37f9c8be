from __future__ import annotations

from pathlib import Path

import pytest

from station.tui.actions import ACTIONS
from station.tui.keymap import KeyConfigError, Keymap, config_path, default_keymap, display, load_keymap
from station.tui.layouts import POSITIONS


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_config_file_the_table_stands(tmp_path: Path) -> None:
    assert load_keymap(tmp_path / "none.toml") == default_keymap()


def test_the_environment_names_another_config_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STATION_CONFIG", str(tmp_path / "mine.toml"))
    assert config_path() == tmp_path / "mine.toml"


def test_no_two_actions_share_a_default_key() -> None:
    keys = [display(action.key) for action in ACTIONS]
    assert len(keys) == len(set(keys))


def test_an_action_gets_the_key_that_the_operator_wrote(tmp_path: Path) -> None:
    keymap = load_keymap(written(tmp_path, "[keys]\nsuccess = 'j'\nfailure = 'k'\n"))
    assert (keymap.key("success"), keymap.key("failure"), keymap.key("void")) == ("j", "k", "v")


def test_two_actions_may_swap_their_keys(tmp_path: Path) -> None:
    keymap = load_keymap(written(tmp_path, "[keys]\nsuccess = 'f'\nfailure = 's'\n"))
    assert (keymap.key("success"), keymap.key("failure")) == ("f", "s")


def test_an_ordinary_action_can_be_unmapped(tmp_path: Path) -> None:
    assert load_keymap(written(tmp_path, "[keys]\nvoid = ''\n")).show("void") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[keys]\nstop = ''\n", "'stop' cannot be left without a key"),
        ("[keys]\nleave = ''\n", "'leave' cannot be left without a key"),
        ("[keys]\nsuccess = 'f'\n", "the key 'f' stands for 'success' and for 'failure'"),
        ("[keys]\nhelp = 's'\n", "Give one of them another key"),
        ("[keys]\nsucces = 'j'\n", "Did you mean 'success'?"),
        ("[keys]\nvoid = 'ctrl+x'\n", "stands for stop, everywhere"),
        ("[keys]\nvoid = 'spcae'\n", "no key name"),
        ("[keys]\nvoid = 3\n", "must be text"),
        ("keys = 's'\n", "must be a table"),
        ("[keys\n", "not readable as TOML"),
    ],
)
def test_a_bad_key_table_is_refused_with_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(KeyConfigError, match=r"config\.toml") as refusal:
        load_keymap(written(tmp_path, text))
    assert said in str(refusal.value)


def test_an_action_may_have_several_keys(tmp_path: Path) -> None:
    keymap = load_keymap(written(tmp_path, "[keys]\nsuccess = ['j', 'F1']\nstop = ['k', 'f12']\n"))
    assert keymap.keys["success"] == ("j", "f1")
    assert (keymap.show("success"), keymap.show_all("stop")) == ("j", "k f12")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stop = []", "'stop' cannot be left without a key"),
        ("stop = ['', '']", "'stop' cannot be left without a key"),
        ("success = ['j', 3]", "a list like"),
        ("success = ['j', 'f']", "the key 'f' stands for 'success' and for 'failure'"),
        ("success = ['j', 'ctrl+c']", "stands for stop"),
    ],
)
def test_a_bad_list_of_keys_is_refused_with_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(KeyConfigError) as refusal:
        load_keymap(written(tmp_path, f"[keys]\n{text}\n"))
    assert said in str(refusal.value)


@pytest.mark.parametrize("key", ["1", "9", "[", ";", "O"])
def test_a_label_on_a_key_that_escape_sequences_are_spelt_with_draws_a_warning(
    tmp_path: Path, key: str
) -> None:
    (warning,) = load_keymap(written(tmp_path, f"[keys]\nsuccess = '{key}'\n")).warnings
    assert f"'{key}' for 'success'" in warning and "a function key" in warning


def test_letters_and_function_keys_draw_none(tmp_path: Path) -> None:
    text = "[keys]\nsuccess = ['j', 'f5']\npoints = '1'\n"
    assert load_keymap(written(tmp_path, text)).warnings == default_keymap().warnings == ()


def test_the_stop_key_of_common_layouts_is_known() -> None:
    assert {"ч", "χ", "ס", "ء", "ط"} <= {letter for letter, keys in POSITIONS.items() if "x" in keys}
    assert all(not letter.isascii() for letter in POSITIONS)


def test_a_key_with_a_meaning_of_its_own_is_no_stop_wherever_it_is_on_the_keyboard() -> None:
    keymap = default_keymap()
    assert keymap.misheard("q", "q", position="x") is None, "leave on a Dvorak keyboard"
    assert keymap.misheard("Q", "Q", position="x") is None
    assert keymap.misheard("ctrl+q", None, position="x") is None
    assert keymap.misheard("k", "k", position="x") == "stop"
    assert keymap.misheard("cyrillic_che", "\u0447", position="x") == "stop"


def test_ctrl_x_and_ctrl_c_of_another_layout_stop_whatever_the_stop_key_is() -> None:
    for stop in ("x", "j"):
        keymap = Keymap({**default_keymap().keys, "stop": (stop,)})
        assert {keymap.misheard(key) for key in ("ctrl+ч", "ctrl+с", "ctrl+shift+x", "ctrl+C")} == {"stop"}
        assert keymap.misheard("ctrl+ы") is None


def test_the_stop_is_read_from_a_torn_sequence_in_either_case() -> None:
    assert default_keymap().urgent == {"x", "X"}
