from __future__ import annotations

import re
from typing import Any

import pytest

from station.session.snapshot import LiveSteering, Phase
from station.tui.keymap import Keymap, default_keymap, display
from station.tui.sentences import badge, sentence
from tests.station.tui.fakes import snapshot

KEYS = default_keymap()


@pytest.mark.parametrize("phase", list(Phase))
def test_every_state_has_a_badge_and_one_or_two_sentences(phase: Phase) -> None:
    said = sentence(snapshot(phase), KEYS)
    assert badge(snapshot(phase))
    assert said[0].isupper() or said[0].isdigit()
    assert said.endswith(".")


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize(
    "changes", [{}, {"simulated": False}, {"autopilot": True}, {"stopped": True}, {"evaluating": True}]
)
def test_every_sentence_fits_beside_the_badge_of_a_narrow_terminal(
    phase: Phase, changes: dict[str, Any]
) -> None:
    full = {"label": "success", "grace_left": 12.5, "block_done": 100, "block_size": 100}
    said = sentence(snapshot(phase, **full, **changes), KEYS)
    assert len(said) <= 100 - 2 - 14, said


@pytest.mark.parametrize(
    ("phase", "changes", "said"),
    [
        (Phase.READY, {}, "Press r"),
        (Phase.READY, {"simulated": False}, "Lay the scene out as the blended image shows"),
        (Phase.READY, {"evaluating": True}, "evaluation episode"),
        (Phase.READY, {"autopilot": True}, "automatic operator starts the next episode"),
        (Phase.ROLLOUT, {}, "s when it has succeeded, f when it has failed"),
        (Phase.EVALUATE, {"block_done": 3, "block_size": 20}, "3 of 20 done"),
        (Phase.PAUSED, {}, "space continues"),
        (Phase.PAUSED, {"resume_phase": Phase.ROLLOUT}, "space continues with the episode; v drops it"),
        (Phase.PAUSED, {"resume_phase": Phase.READY, "simulated": False}, "nothing moves before r"),
        (
            Phase.PAUSED,
            {"resume_phase": Phase.HOMING, "simulated": False},
            "space continues: the arm moves home",
        ),
        (Phase.PAUSED, {"resume_phase": Phase.LABEL, "simulated": False}, "the arm may then move home"),
        (Phase.PAUSED, {"reason": "no space", "disk_full": True}, "it then continues by itself"),
        (Phase.PAUSED, {"disk_full": True, "simulated": False}, "then space continues"),
        (Phase.PAUSED, {"disk_full": True, "asked_to_pause": True}, "then space continues"),
        (Phase.FAULT, {"reason": "C31"}, "then press r"),
        (Phase.FAULT, {"reason": "no learner", "recoverable": False}, "q ends the engine"),
        (Phase.LABEL, {"label": None, "episode": "online-000015"}, "Did online-000015 succeed?"),
        (Phase.LABEL, {"label": "failure", "grace_left": 1.25}, "Labelled failure. 1.2 s left to change it"),
        (Phase.UPDATE, {"steering": LiveSteering(done=100, planned=300, rate=50.0)}, "about 4 s"),
        (Phase.UPDATE, {"simulated": False}, "Set up the next scene"),
        (Phase.PREFLIGHT, {"reason": "camera wrist: no frame"}, "fix this, then press r"),
        (Phase.FINISHED, {}, "q leaves"),
        (
            Phase.FAULT,
            {"reason": "C31", "simulated": False},
            "then press r: it recovers the arm and moves it home",
        ),
        (Phase.FAULT, {"stopped": True, "simulated": False}, "then press r: the arm moves home"),
        (Phase.FAULT, {"rearmed": True, "simulated": False}, "then press r: the arm moves home"),
        (Phase.FAULT, {"rearmed": True}, "then press r: it continues"),
        (Phase.PREFLIGHT, {"simulated": False}, "then the arm moves home by itself"),
        (Phase.PREFLIGHT, {"reason": "no frame", "simulated": False}, "press r: the arm moves home"),
        (Phase.UPDATE, {"simulated": False}, "the arm waits at home"),
    ],
)
def test_the_sentence_says_what_to_do_now(phase: Phase, changes: dict[str, Any], said: str) -> None:
    assert said in sentence(snapshot(phase, **changes), KEYS)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_latched_stop_is_said_before_everything_else(phase: Phase) -> None:
    stopped = snapshot(phase, stopped=True)
    assert badge(stopped) == "STOPPED"
    assert "^r re-arms" in sentence(stopped, KEYS)


def test_a_released_stop_is_no_fault_any_more() -> None:
    assert badge(snapshot(Phase.FAULT, rearmed=True)) == "RE-ARMED"
    assert badge(snapshot(Phase.FAULT, rearmed=True, stopped=True)) == "STOPPED"


def test_sentences_name_the_keys_that_the_operator_chose() -> None:
    keys = Keymap({**KEYS.keys, "success": ("j",), "go": ("enter",)})
    assert "j when it has succeeded" in sentence(snapshot(Phase.ROLLOUT), keys)


REMAPPED = Keymap({action: (f"f{number + 1}",) for number, action in enumerate(KEYS.keys)})


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"simulated": False},
        {"autopilot": True},
        {"stopped": True},
        {"disk_full": True, "reason": "no space"},
        {"reason": "C31: collision"},
        {"recoverable": False},
        {"label": None},
    ],
)
def test_no_sentence_names_a_default_key_once_all_keys_are_others(
    phase: Phase, changes: dict[str, Any]
) -> None:
    said = sentence(snapshot(phase, **changes), REMAPPED)
    defaults = {display(key) for keys in KEYS.keys.values() for key in keys} - {"a", "space"}  # also words
    assert not defaults & set(re.findall(r"[^\s,.;:]+", said)), said


def test_a_void_episode_is_not_said_to_be_labelled() -> None:
    said = sentence(snapshot(Phase.LABEL, void=True, label="success"), default_keymap())
    assert said == "online-000120 is void and not counted. v or u restores it."
