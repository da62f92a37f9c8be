from __future__ import annotations

import pytest

from hardware.cell import Check


@pytest.mark.parametrize(
    ("name", "detail", "told"),
    [
        ("arm arm", "arm: The emergency stop is pressed", "arm: The emergency stop is pressed. Do this."),
        (
            "camera third",
            "third: third: gone, check its cable.",
            "camera third: gone, check its cable. Do this.",
        ),
        ("arm left", "in fault", "arm left: in fault. Do this."),
        ("disk", "nearly full", "disk: nearly full. Do this."),
    ],
)
def test_a_failed_check_names_its_device_once_and_ends_each_sentence_once(
    name: str, detail: str, told: str
) -> None:
    assert Check(name=name, ok=False, detail=detail, remedy="Do this.").told() == told


def test_what_was_done_meanwhile_stands_before_the_remedy() -> None:
    old = Check(name="camera wrist", ok=False, detail="newest frame 2.00 s old", remedy="Look at it.")
    assert old.told("The arms were braked.") == (
        "camera wrist: newest frame 2.00 s old. The arms were braked. Look at it."
    )
