"""Settings as text: what is written can be read back, and mistakes are explained."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from typing import Literal

import pytest
from pydantic import Field, ValidationError

from datasets.settings import Settings
from station.tasks.settings_text import problems, section_to_toml, to_toml


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Lamp(Settings):
    """One lamp."""

    watts: float = Field(default=5.0, gt=0, le=60)
    """Power, W."""
    colour: Colour = Colour.RED
    """What it shines."""


class Room(Settings):
    """A room and its lamps."""

    name: str
    """What people call it."""
    size: tuple[int, int] = (4, 3)
    """Length and width, m."""
    doors: dict[str, int] = Field(default_factory=dict)
    """Wall -> how many."""
    heating: float | None = Field(default=None, ge=0)
    """Target, degrees; not set: off."""
    window: Literal["north", "south"] = "north"
    """Where the light comes from."""
    main: Lamp = Field(default_factory=Lamp)
    """The big one."""
    lamps: tuple[Lamp, ...] = ()
    """The others."""


def mistakes(content: dict[str, object]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Room.model_validate(content)
    return problems(Room, caught.value, content)


@pytest.mark.parametrize(
    "room",
    [
        Room(name="hall"),
        Room(
            name='a "quoted" name\nover two lines',
            size=(9, 8),
            doors={"east": 2, "north wall": 1},
            heating=21.5,
            window="south",
            main=Lamp(watts=60, colour=Colour.BLUE),
            lamps=(Lamp(watts=1), Lamp(colour=Colour.BLUE)),
        ),
    ],
)
def test_what_is_written_reads_back_equal(room: Room) -> None:
    assert Room.model_validate(tomllib.loads(to_toml(room))) == room


def test_every_setting_is_written_with_its_text_and_range() -> None:
    text = to_toml(Room(name="hall"))
    assert "# Power, W. (more than 0 and at most 60)\nwatts = 5.0" in text
    assert "# What it shines. (one of 'red', 'blue')" in text
    assert "# heating is not set" in text


def test_a_list_of_sections_that_is_empty_is_shown_as_one_would_be_written() -> None:
    text = to_toml(Room(name="hall"))
    assert "# The others.\n# [[lamps]]\n# watts = 5.0  # Power, W.\n" in text


def test_a_class_is_explained_by_its_defaults_and_what_must_be_set() -> None:
    text = section_to_toml(Room, "[[rooms]]")
    assert text.startswith("[[rooms]]\n# A room and its lamps.")
    assert "# What people call it.\n# name = ... must be set" in text
    assert "# Target, degrees; not set: off. (at least 0)\n# heating is not set" in text


def test_a_misspelt_setting_is_answered_with_the_nearest_name() -> None:
    assert mistakes({"name": "hall", "main": {"wats": 3}}) == [
        "[main] wats: there is no such setting. Did you mean 'watts'?"
    ]


def test_a_misspelt_section_is_answered_with_the_nearest_name() -> None:
    assert mistakes({"name": "hall", "mian": {"watts": 3}}) == [
        "[mian]: there is no such section. Did you mean 'main'?"
    ]


def test_a_name_like_no_other_is_answered_with_all_that_are_known() -> None:
    [problem] = mistakes({"name": "hall", "main": {"zzz": 3}})
    assert problem.endswith("Known here: watts, colour.")


def test_a_wrong_value_is_answered_with_the_range_and_the_meaning() -> None:
    assert mistakes({"name": "hall", "main": {"watts": 100}}) == [
        "[main] watts = 100: must be more than 0 and at most 60. Power, W."
    ]


def test_a_wrong_choice_is_answered_with_the_choices() -> None:
    [colour, window] = mistakes({"name": "hall", "window": "west", "main": {"colour": "green"}})[::-1]
    assert colour == "[main] colour = 'green': must be one of 'red', 'blue'. What it shines."
    assert window.startswith("window = 'west': must be one of 'north', 'south'.")


def test_a_mistake_in_a_list_says_which_entry() -> None:
    [problem] = mistakes({"name": "hall", "lamps": [{}, {"watts": 0}]})
    assert problem.startswith("lamps[1].watts = 0: must be more than 0")


def test_a_section_that_may_come_several_times_is_asked_for_in_two_brackets() -> None:
    [problem] = mistakes({"name": "hall", "lamps": {"watts": 1}})
    assert problem == "[[lamps]]: there may be several, so write its heading in double brackets. The others."
    [problem] = mistakes({"name": "hall", "size": 3})
    assert problem == "size = 3: must be a list. Length and width, m."


def test_a_missing_setting_is_named_with_its_meaning() -> None:
    assert mistakes({}) == ["name: this setting is missing. What people call it."]


def test_a_value_of_the_wrong_kind_is_answered_with_kind_and_range() -> None:
    [problem] = mistakes({"name": "hall", "main": {"watts": "much"}})
    assert problem.startswith("[main] watts = 'much': must be a valid number")
    assert problem.endswith(", more than 0 and at most 60. Power, W.")
