"""What the policy sees of a device's image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from datasets.randomness import stream
from hardware.cameras.view import View
from tests.hardware.cameras.fakes import FakeCameraSettings

IMAGE = stream(1, "test image", 0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def view(**settings: object) -> View:
    return View(FakeCameraSettings.model_validate({"name": "third", **settings}))


def test_shrinking_is_what_the_importers_do_to_demonstrations() -> None:
    shown = view(height=20, width=30).apply(IMAGE)
    assert (shown == cv2.resize(IMAGE, (30, 20), interpolation=cv2.INTER_AREA)).all()


def test_the_crop_is_of_the_turned_image() -> None:
    shown = view(rotate=90, crop=(2, 3, 32, 40), height=40, width=32).apply(IMAGE)
    assert (shown == cv2.rotate(IMAGE, cv2.ROTATE_90_CLOCKWISE)[3:43, 2:34]).all()


def test_swapped_colours_are_put_right() -> None:
    shown = view(swap_red_blue=True, height=48, width=64).apply(IMAGE)
    assert (shown == IMAGE[..., ::-1]).all()
    assert shown.flags.c_contiguous


@pytest.mark.parametrize("crop", [(1, 2, 3), (-1, 0, 10, 10), (0, 0, 0, 10)])
def test_a_crop_that_is_no_box_is_refused_when_the_task_is_read(crop: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="left, top, width, height"):
        view(crop=crop)
