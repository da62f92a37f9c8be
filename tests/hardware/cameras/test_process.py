"""Cameras in processes of their own: what a reader sees when they run, freeze, fail, are killed or orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from hardware.cameras.interface import CameraError
from hardware.cameras.process import CameraProcess, CameraStatus
from hardware.cameras.worker import CameraState
from tests.hardware.cameras.fakes import FakeCameraSettings, pid_of

pytestmark = pytest.mark.realtime

ROOT = Path(__file__).parents[3]

Start = Callable[..., CameraProcess]


def until(happens: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `happens` returned as soon as it was true."""
    deadline = time.monotonic() + seconds
    while not (seen := happens()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return seen


@pytest.fixture
def start() -> Iterator[Start]:
    cameras: list[CameraProcess] = []

    def begin(**settings: Any) -> CameraProcess:
        camera = CameraProcess(FakeCameraSettings(**{"name": "third", **settings}))
        cameras.append(camera)
        camera.launch()
        # not `start`: a camera in trouble delivers for a tenth of a second, and may be looked at only after that
        until(
            lambda: now if (now := camera.status()).state is not CameraState.STARTING or now.error else None
        )
        return camera

    yield begin
    for camera in cameras:
        camera.close()


def failing(camera: CameraProcess) -> CameraStatus:
    """Its status, as soon as there is an error in it that has not led to another attempt yet."""

    def status() -> CameraStatus | None:
        now = camera.status()
        return now if now.error and now.state is not CameraState.STARTING else None

    found: CameraStatus = until(status)
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[CameraProcess]:
    """One camera for all tests that only look."""
    settings = FakeCameraSettings(
        name="third", height=24, width=56, crop=(4, 10, 40, 38), rotate=180, fps=50.0, trouble="loses"
    )
    camera = CameraProcess(settings)
    camera.start()
    yield camera
    camera.close()


def test_the_newest_image_has_the_tasks_size_and_the_frames_own_stamp(running: CameraProcess) -> None:
    frame = running.newest()
    assert frame is not None
    assert frame.image.shape == (24, 56, 3) and frame.image.dtype == np.uint8
    assert frame.time <= time.monotonic()
    until(lambda: (newer := running.newest()) and newer.number > frame.number)


def test_an_image_that_was_read_is_the_readers_own(running: CameraProcess) -> None:
    first = running.newest()
    assert first is not None
    before, shade = running.status().frames, int(first.image[0, 0, 0])
    until(lambda: running.status().frames > before + 10)
    assert (first.image == shade).all()
    first.image[:] = 0  # writable, and nobody else's


def test_rate_age_losses_and_identity_can_be_observed(running: CameraProcess) -> None:
    status = until(lambda: now if (now := running.status()).frames > 30 else None)
    assert status.state is CameraState.STREAMING and status.error == "" and not status.needs_restart
    assert status.identity == "Fake 42, opening 1"
    assert 0 < status.rate <= 51
    assert until(lambda: running.status().age < 0.5)
    assert status.dropped >= 2 * 15, "two of three frames never arrived"


def test_what_was_done_to_the_image_is_recorded(running: CameraProcess) -> None:
    assert running.status().view == "64x48, turned by 180 degrees, cropped to 40x38 at 4,10, resized to 56x24"


def test_ctrl_c_at_the_terminal_leaves_the_camera_to_the_engine(running: CameraProcess) -> None:
    before, pid = running.status(), pid_of(running)
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    until(lambda: running.status().frames > before.frames + 10)
    assert pid_of(running) == pid


def test_the_camera_process_loads_nothing_that_it_does_not_need(running: CameraProcess) -> None:
    pid = pid_of(running)
    assert pid is not None
    loaded = {Path(mapped.path).name for mapped in psutil.Process(pid).memory_maps()}
    assert not any("torch" in name or "mujoco" in name for name in loaded)


def test_a_crop_beyond_the_image_is_refused_with_its_size() -> None:
    camera = CameraProcess(FakeCameraSettings(name="wrist", crop=(30, 0, 40, 40)))
    with pytest.raises(CameraError, match=r"wrist: crop = .*does not fit.*64x48.*Correct crop"):
        camera.start()
    camera.close()


def test_a_camera_that_is_not_there_is_refused_with_the_drivers_sentence() -> None:
    camera = CameraProcess(FakeCameraSettings(name="third", trouble="missing", trouble_after=0))
    with pytest.raises(CameraError, match=r"there is no camera 42\. Plugged in are: 43"):
        camera.start()
    assert pid_of(camera) is None
    camera.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("silent", "no frame for 0.2 s"),
        ("repeats", "the same frame has come for"),
        ("same pixels", "no pixel has changed"),
    ],
)
def test_a_frozen_camera_is_reported_while_its_last_image_grows_old(
    start: Start, trouble: str, sentence: str
) -> None:
    camera = start(trouble=trouble, timeout=0.2, frozen_after=0.2)
    status = failing(camera)
    assert sentence in status.error and status.error.startswith("third: ")
    assert status.state is CameraState.FAILING and status.rate == 0.0
    assert not status.needs_restart, "its process goes on trying"
    until(lambda: camera.status().age > 1.0)  # also when it is opened anew meanwhile
    assert camera.status().error


def test_a_frozen_camera_that_heals_is_opened_anew_by_itself(start: Start) -> None:
    camera = start(trouble="silent", timeout=0.1, heals=True)
    healed = until(lambda: now if "opening 2" in (now := camera.status()).identity else None)
    assert healed.state is CameraState.STREAMING and not healed.error
    assert until(lambda: camera.status().age < 0.2)


def test_a_still_scene_is_no_frozen_stream_where_the_task_says_so(start: Start) -> None:
    camera = start(trouble="same pixels", frozen_after=0.0)
    until(lambda: camera.status().frames > 60)
    assert camera.status().error == ""


def test_a_killed_camera_process_is_named_and_comes_back_by_restart(start: Start) -> None:
    camera = start()
    pid = pid_of(camera)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    status = failing(camera)
    assert status.needs_restart and pid_of(camera) is None
    assert "killed by signal 9" in status.error and "Restart the camera" in status.error
    last = camera.newest()
    assert last is not None, "the last whole image stays, with its old stamp"
    camera.restart()
    assert camera.status().error == "" and pid_of(camera) not in (None, pid)
    newer = camera.newest()
    assert newer is not None and newer.time > last.time


@pytest.mark.slow
def test_a_drivers_own_mistake_ends_its_process_only_and_is_named(start: Start) -> None:
    camera = start(trouble="crash")
    status = until(lambda: now if (now := camera.status()).needs_restart else None)
    assert "ZeroDivisionError: a driver's own mistake" in status.error
    camera.launch()
    assert until(lambda: camera.status().frames > status.frames)


@pytest.mark.slow
def test_a_suspended_camera_process_is_seen_and_can_be_restarted(start: Start) -> None:
    camera = start(timeout=0.1)
    pid = pid_of(camera)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert failing(camera).needs_restart
    camera.restart()
    assert not psutil.pid_exists(pid)
    assert camera.status().error == ""


@pytest.mark.slow
def test_the_camera_process_ends_when_its_parent_is_killed() -> None:
    code = (
        "import time\n"
        "from hardware.cameras.process import CameraProcess\n"
        "from tests.hardware.cameras.fakes import FakeCameraSettings, pid_of\n"
        "camera = CameraProcess(FakeCameraSettings(name='third', trouble='hang'))\n"
        "camera.start()\n"
        "print(pid_of(camera), flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([child], timeout=10)
    assert gone and not alive


@pytest.mark.slow
def test_closing_twice_is_as_good_as_once_and_leaves_no_process(start: Start) -> None:
    camera = start()
    pid = pid_of(camera)
    camera.close()
    camera.close()
    assert pid is not None and not psutil.pid_exists(pid)
    assert camera.newest() is None
