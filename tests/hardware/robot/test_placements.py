"""Where the objects of a real scene are to lie: a schedule, and markers in the live image."""

from __future__ import annotations

import numpy as np

from hardware.robot import placements
from hardware.robot.settings import PlacementSettings

CUP = PlacementSettings(name="cup", camera="scene", left=0.2, right=0.4, top=0.5, bottom=0.5, turn=1.0)


def test_places_lie_in_their_ranges_and_follow_seed_purpose_and_ordinal() -> None:
    places = [placements.sample([CUP], 1, "rollout", ordinal)["cup"] for ordinal in range(50)]
    assert all(0.2 <= place["across"] <= 0.4 and place["down"] == 0.5 for place in places)
    assert all(abs(place["turn"]) <= 1.0 for place in places)
    assert len({place["across"] for place in places}) == 50
    assert placements.sample([CUP], 1, "rollout", 3)["cup"] == places[3]


def test_only_the_image_of_a_camera_with_a_place_is_shown_and_has_a_marker() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    layout = placements.sample([CUP], 1, "rollout", 0)
    shown = placements.draw(layout, {"scene": image, "wrist": image})
    rows, columns = np.nonzero(shown["scene"].any(axis=2))
    assert abs(columns.mean() / 79 - layout["cup"]["across"]) < 0.1
    assert rows.min() < 30 < rows.max()
    assert [*shown] == ["scene"] and not image.any()
