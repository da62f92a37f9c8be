"""Recordings that play as cameras."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datasets import vr_recording
from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore
from hardware.cameras.file import FileCameraSettings
from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.process import CameraProcess

FRAMES = 12
TICKS = np.linspace(0.0, 0.01 * (FRAMES - 1), FRAMES)
SHADES = np.arange(FRAMES, dtype=np.uint8) * 20
IMAGES = np.broadcast_to(SHADES[:, None, None, None], (FRAMES, 48, 64, 3))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "scene.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 100.0, (64, 48))
    for shade in SHADES:
        writer.write(np.full((48, 64, 3), (0, 0, shade), np.uint8))  # BGR: red
    writer.release()
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Its third image comes late."""
    path = tmp_path / "demo.h5"
    stamps = TICKS + 0.1 * (np.arange(FRAMES) > 2)
    poses = np.tile([0.0, 0, 0, 0, 0, 0, 1], (FRAMES, 1))
    off = np.zeros(FRAMES, np.bool_)
    vr_recording.write(
        path,
        vr_recording.VrRecording(
            images={"third": IMAGES},
            image_time={"third": 1000 + stamps},
            joint_angles=np.zeros((FRAMES, 6)),
            end_effector_pose=poses,
            gripper=np.ones(FRAMES),
            observation_time=stamps,
            action_pose=poses,
            action_gripper=np.ones(FRAMES),
            action_time=stamps,
            clutch=off,
            success_button=off,
            failure_button=off,
        ),
    )
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    steps = FRAMES - 1
    spec = DataSpec(
        cameras=(CameraSpec(name="third", height=48, width=64),),
        proprioception=("joint_1",),
        action=ActionSpec(),
        control_hz=100.0,
    )
    header = EpisodeHeader(
        id="demo-1", kind=EpisodeKind.DEMO, ordinal=0, spec=spec, ending=Ending.RECORDED, created=""
    )
    episode = Episode(
        header=header,
        images={"third": np.ascontiguousarray(IMAGES)},
        proprioception=np.zeros((FRAMES, 1), np.float32),
        observation_time=TICKS,
        action=np.zeros((steps, spec.da), np.float32),
        sent=np.zeros((steps, spec.da), np.float32),
        command_time=TICKS[:steps],
    )
    EpisodeStore(tmp_path / "demos", writable=True).commit(episode)
    return tmp_path / "demos"


def camera(path: Path, **settings: Any) -> Camera:
    return FileCameraSettings(name="third", path=str(path), **settings).build()


def play(path: Path, count: int, **settings: Any) -> list[Frame]:
    playing = camera(path, **settings)
    playing.open()
    frames = [playing.read(1.0) for _ in range(count)]
    playing.close()
    return frames


def play_out(playing: Camera) -> None:
    while playing.read(1.0).number < FRAMES:
        pass


def shade(frame: Frame) -> int:
    return int(frame.image[..., 0].mean().round())


def test_a_video_plays_at_its_own_rate_in_rgb_and_begins_again(video: Path) -> None:
    frames = play(video, 2 * FRAMES)
    assert np.allclose([shade(f) for f in frames], SHADES[[f.number % FRAMES for f in frames]], atol=3)
    assert frames[5].image[..., 1:].max() < 10, "red stays red"
    ticks = np.diff([f.time for f in frames]) / np.diff([f.number for f in frames])
    assert np.allclose(ticks, 0.01)


def test_a_reader_that_is_late_misses_images_as_with_a_camera(video: Path) -> None:
    playing = camera(video)
    playing.open()
    first = playing.read(1.0)
    time.sleep(0.055)
    asked = time.monotonic()
    late = playing.read(1.0)
    assert late.number >= first.number + 5
    assert abs(shade(late) - int(SHADES[late.number % FRAMES])) <= 3
    assert late.time > asked - 0.01, "it shows what would be seen now"


def test_a_vr_recording_plays_with_the_gaps_of_its_recorder(recording: Path) -> None:
    frames = play(recording, FRAMES)
    by_number = {frame.number: frame for frame in frames}
    assert all(shade(frame) == SHADES[number % FRAMES] for number, frame in by_number.items())
    assert by_number[3].time - by_number[2].time == pytest.approx(0.11)


def test_an_episode_of_a_store_plays_as_a_camera(store: Path) -> None:
    playing = camera(store)
    assert "episode demo-1" in playing.open()
    frame = playing.read(1.0)
    assert shade(frame) == SHADES[frame.number]


def test_another_rate_can_be_asked_for(recording: Path) -> None:
    frames = play(recording, 3, rate=200.0)
    assert frames[-1].time - frames[0].time == pytest.approx(0.005 * (frames[-1].number - frames[0].number))


def test_without_a_loop_the_end_is_the_end_also_when_it_is_opened_again(video: Path) -> None:
    playing = camera(video, loop=False, rate=240.0)
    playing.open()
    with pytest.raises(CameraError, match="has ended"):
        play_out(playing)
    playing.close()
    with pytest.raises(CameraError, match=r"has ended.*loop = true"):
        playing.open()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "there is no"), (b"no video at all", "cannot be read as a video")],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CameraError, match=sentence):
        camera(path).open()


def test_a_camera_that_the_recording_has_not_is_named_with_those_it_has(recording: Path) -> None:
    with pytest.raises(CameraError, match="no camera 'wrist'; it has third"):
        camera(recording, picture="wrist").open()


def test_a_damaged_recording_is_refused(recording: Path) -> None:
    recording.write_bytes(recording.read_bytes()[:500])
    with pytest.raises(CameraError, match="cannot be played: unreadable, the HDF5 file is cut off"):
        camera(recording).open()


def test_a_store_without_episodes_is_refused(tmp_path: Path) -> None:
    EpisodeStore(tmp_path, writable=True)
    with pytest.raises(CameraError, match="holds no episode"):
        camera(tmp_path).open()


@pytest.mark.slow
def test_a_video_reaches_the_reader_through_a_process_of_its_own(video: Path) -> None:
    process = CameraProcess(FileCameraSettings(name="third", path=str(video), height=24, width=32))
    try:
        assert "video scene.avi, 12 frames at 100 Hz" in process.start()
        frame = process.newest()
        assert frame is not None and frame.image.shape == (24, 32, 3)
        assert abs(shade(frame) - int(SHADES[frame.number % FRAMES])) <= 3
    finally:
        process.close()
