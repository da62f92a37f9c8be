"""Start layouts of a real scene: positions drawn from a seeded schedule and overlaid on the live image.

Only the operator can lay out a real scene; this shows where to place each object. Accesses no camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from datasets.observation import Image
from datasets.randomness import stream
from hardware.cell import Layout
from hardware.robot.settings import PlacementSettings

_COLOURS = ((255, 140, 0), (0, 200, 120), (80, 140, 255), (230, 80, 200))


def sample(placements: Sequence[PlacementSettings], seed: int, purpose: str, ordinal: int) -> Layout:
    """A position for every object: {name: {camera, across, down, turn}}, fractions of the image and rad."""
    rng = stream(seed, purpose, ordinal)
    return {
        placement.name: {
            "camera": placement.camera,
            "across": float(rng.uniform(placement.left, placement.right)),
            "down": float(rng.uniform(placement.top, placement.bottom)),
            "turn": float(rng.uniform(-placement.turn, placement.turn)),
        }
        for placement in placements
    }


def draw(layout: Layout, images: Mapping[str, Image]) -> dict[str, Image]:
    """The images that show a position, with a marker there: a ring, and a line in the object's direction."""
    shown: dict[str, Image] = {}
    for colour, place in zip(_repeated(len(layout)), layout.values(), strict=True):
        camera = place["camera"]
        if camera in images:
            image = shown.setdefault(camera, images[camera].copy())
            _mark(image, place["across"], place["down"], place["turn"], colour)
    return shown


def _mark(image: Image, across: float, down: float, turn: float, colour: tuple[int, int, int]) -> None:
    height, width = image.shape[:2]
    radius = max(3, min(height, width) // 12)
    centre = round(across * (width - 1)), round(down * (height - 1))
    reach = np.array([math.sin(turn), -math.cos(turn)]) * 2.0 * radius
    tip = round(centre[0] + reach[0]), round(centre[1] + reach[1])
    cv2.circle(image, centre, radius, colour, 2)
    cv2.line(image, centre, tip, colour, 2)


def _repeated(count: int) -> list[tuple[int, int, int]]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]
