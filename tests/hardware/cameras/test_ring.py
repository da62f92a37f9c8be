"""The shared images: whole or not there, whatever the writer does meanwhile."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from hardware.cameras.ring import PublishedFrame, Ring


def image(shade: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((48, 64, 3), shade % 251, np.uint8)


@pytest.fixture
def ring() -> Ring:
    return Ring(height=48, width=64, slots=2)


def put(ring: Ring, number: int) -> None:
    ring.put(
        PublishedFrame(image=image(number), time=number / 10, number=number, dropped=number // 5, rate=30.0)
    )


def test_an_empty_ring_has_no_image(ring: Ring) -> None:
    assert ring.newest() is None and ring.heard() == ""


def test_the_newest_image_comes_back_with_all_that_was_said_of_it(ring: Ring) -> None:
    for number in range(7):
        put(ring, number)
    newest = ring.newest()
    assert newest is not None
    assert (newest.number, newest.time, newest.dropped, newest.rate) == (6, 0.6, 1, 30.0)
    assert ring.count == 7
    assert (newest.image == 6).all()


def test_a_writer_in_full_flight_never_shows_a_torn_image(ring: Ring) -> None:
    """Two slots only, and a writer that never rests: nearly every reading is disturbed."""
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            put(ring, number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    deadline = time.monotonic() + 60.0
    try:
        while seen < 500:
            assert time.monotonic() < deadline
            newest = ring.newest()
            if newest is not None:
                seen += 1
                assert (newest.image == newest.number % 251).all(), "pixels of one image, stamp of another"
    finally:
        done.set()
        writer.join()


def test_a_new_writer_goes_on_where_the_last_one_stopped(ring: Ring) -> None:
    put(ring, 1)
    second = Ring(height=48, width=64, slots=2, descriptors=ring.descriptors)
    put(second, 2)
    newest = ring.newest()
    assert newest is not None and newest.number == 2 and ring.count == 2


def test_a_closed_ring_has_nothing_more_to_say(ring: Ring) -> None:
    put(ring, 1)
    ring.say("well")
    assert ring.heard() == "well"
    ring.close()
    ring.close()
    assert ring.newest() is None and ring.heard() == "" and ring.count == 0
