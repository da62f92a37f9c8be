"""The drivers of this repository go through the checks that others' go through, against their emulators."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware.arms.franka import FrankaSettings
from hardware.cameras.file import FileCameraSettings
from hardware.cameras.realsense import RealSenseSettings
from hardware.cameras.usb import UsbCameraSettings
from hardware.grippers.franka_hand import FrankaHandSettings
from hardware.grippers.robotiq_modbus import RobotiqModbusSettings
from hardware.grippers.robotiq_rs485 import RobotiqRS485Settings
from hardware.grippers.ufactory import UfactoryGripperSettings
from station.testing import check_arm, check_camera, check_gripper
from tests.emulators.franka import FrankaEmulator
from tests.emulators.network_camera import streaming
from tests.emulators.v4l2_camera import compiled, plugged_in
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.franka_cells import NEEDS_FRANKY, franka_table
from tests.hardware.arms.xarm_bench import needs_sdk, settings
from tests.hardware.arms.xarm_cell import video

pytestmark = pytest.mark.realtime

ROOT = Path(__file__).parents[3]


def silent(order: Callable[..., Any], command: str) -> Callable[[], AbstractContextManager[None]]:
    """What makes a device of an emulator unreachable: an order that is taken back."""

    @contextmanager
    def unreachable() -> Iterator[None]:
        order(command, on=True)
        yield
        order(command, on=False)

    return unreachable


def test_a_recording_as_a_camera_keeps_the_contract(tmp_path: Path) -> None:
    film = FileCameraSettings(name="third", path=str(video(tmp_path / "film.avi")))
    check_camera(film, absent=film.model_copy(update={"path": str(tmp_path / "none.avi")}))


def test_a_network_camera_keeps_the_contract() -> None:
    with streaming() as address:
        camera = UsbCameraSettings(name="third", device=address, capture_width=64, capture_height=48)
        absent = camera.model_copy(update={"device": "http://127.0.0.1:9/scene"})
        check_camera(camera, absent=absent, unreachable=nullcontext)


@pytest.mark.slow
def test_a_usb_camera_keeps_the_contract(tmp_path: Path) -> None:
    """In a process of its own, which preloads the emulated device."""
    script = (
        "import sys\n"
        "from contextlib import contextmanager\n"
        "from pathlib import Path\n"
        "from hardware.cameras.usb import UsbCameraSettings\n"
        "from station.testing import check_camera\n"
        "node = Path(sys.argv[1])\n"
        "@contextmanager\n"
        "def unplugged():\n"
        "    node.unlink()\n"
        "    yield\n"
        "camera = UsbCameraSettings(name='third', device=str(node), pixel_format='YUYV', timeout=0.3)\n"
        "absent = camera.model_copy(update={'device': str(node.with_name('video9'))})\n"
        "check_camera(camera, absent=absent, unreachable=unplugged)\n"
    )
    node = tmp_path / "video0"
    done = subprocess.run(
        [sys.executable, "-c", script, str(node)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **plugged_in(compiled(tmp_path), node)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_recording_of_a_realsense_keeps_the_contract(tmp_path: Path) -> None:
    pytest.importorskip(
        "pyrealsense2",
        reason="needs: pip install 'station[realsense]' and apt-get install libusb-1.0-0",
        exc_type=ImportError,
    )
    from tests.emulators.recorded_camera import record  # only where pyrealsense2 loads

    path = tmp_path / "scene.db3"
    record(path, lambda number: np.full((48, 64, 3), number, np.uint8), range(1, 61), fps=60)
    camera = RealSenseSettings(
        name="third", capture_width=64, capture_height=48, capture_fps=60, recording=str(path)
    )
    check_camera(camera, absent=camera.model_copy(update={"recording": str(tmp_path / "none.db3")}))


@pytest.mark.slow
@needs_sdk
def test_the_xarm_keeps_the_contract() -> None:
    with XArmEmulator(axes=6) as emulator:
        check_arm(settings(emulator), unreachable=silent(emulator.order, "silence"))


@pytest.mark.slow
@needs_sdk
def test_grippers_on_the_xarm_keep_the_contract() -> None:
    with XArmEmulator(tool="robotiq") as emulator:
        check_gripper(RobotiqRS485Settings(), settings(emulator))
    with XArmEmulator(tool="ufactory") as emulator:
        check_gripper(UfactoryGripperSettings(speed=5000), settings(emulator))


@pytest.mark.slow
def test_a_robotiq_on_a_serial_port_keeps_the_contract() -> None:
    pytest.importorskip("minimalmodbus", reason="needs: pip install 'station[robotiq]'")
    pytest.importorskip("pymodbus", reason="needs: pip install 'station[test]'")
    from tests.emulators.robotiq import EmulatedRobotiq  # only where pymodbus is

    with EmulatedRobotiq() as emulated:

        @contextmanager
        def unreachable() -> Iterator[None]:
            emulated.silent = True
            yield
            emulated.silent = False

        # patient with a busy machine; a silent line is still told from a slow one
        check_gripper(
            RobotiqModbusSettings(port=emulated.port, timeout=0.5),
            FrankaSettings(name="left", address="127.0.0.1"),
            unreachable=unreachable,
        )


@pytest.fixture
def franka(tmp_path: Path) -> Iterator[tuple[FrankaEmulator, FrankaSettings]]:
    pytest.importorskip("franky", reason=NEEDS_FRANKY)
    pytest.importorskip("franky_sim", reason=NEEDS_FRANKY)
    with FrankaEmulator() as emulator:
        yield emulator, FrankaSettings.model_validate(franka_table(emulator, tmp_path)["arms"][0])


@pytest.mark.slow
def test_the_franka_keeps_the_contract(franka: tuple[FrankaEmulator, FrankaSettings]) -> None:
    emulator, arm = franka
    check_arm(
        arm,
        unreachable=silent(emulator.order, "silence"),
        fault=lambda: emulator.order("reflex"),
        patience=90.0,
    )


@pytest.mark.slow
def test_the_franka_hand_keeps_the_contract(franka: tuple[FrankaEmulator, FrankaSettings]) -> None:
    emulator, arm = franka
    check_gripper(
        FrankaHandSettings(speed=0.2), arm, unreachable=silent(emulator.order, "silence_hand"), patience=90.0
    )
