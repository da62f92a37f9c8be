"""Sources that other projects' own writers made: every action, state, length and label, and every image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datasets.episode import Episode
from datasets.rotation import action_to_pose
from datasets.spec import CameraSpec, DataSpec
from tests.datasets.exporters.readers.environments import LEROBOT, LEROBOT_2, ZARR_2, Reader, write
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, LEROBOT_NAMES, POSE_SPEC, REST

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

HERE = Path(__file__).parent / "writers"
FPS = 20
LENGTHS = (31, 24, 38)
HEIGHT, WIDTH = 96, 128
SPEC = replace(
    POSE_SPEC,
    cameras=tuple(CameraSpec(name=name, height=HEIGHT, width=WIDTH) for name in ("front", "wrist")),
    control_hz=float(FPS),
)
"""The source's own rate and size, so that nothing is resampled."""
CAMERAS = {"front": "observation.images.front", "wrist": "observation.images.wrist"}
CODEC_MEAN, CODEC_MOST = 4.0, 60
"""Grey values of 255 that an image may be off, on average and at its worst pixel."""

Rows = dict[str, NDArray[Any]]


def told() -> Rows:
    """Three episodes that move from their first sample on, end to end."""
    tick = np.concatenate([REST + 0.01 * n + np.arange(length) for n, length in enumerate(LENGTHS)])
    grip = np.cos(tick / 9)[:, None] ** 2
    state = np.concatenate([sources.poses(tick), grip], 1).astype(np.float32)
    action = np.concatenate([sources.poses(tick + 1), grip], 1).astype(np.float32)
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    last = np.append(np.diff(episode) > 0, True)
    return {
        "episode": episode,
        "observation.state": state,
        "action": action,
        "next.success": (last & (episode != 1))[:, None],
        **{key: images(tick, turned=key == CAMERAS["wrist"]) for key in CAMERAS.values()},
    }


def images(tick: NDArray[Any], *, turned: bool) -> NDArray[np.uint8]:
    """[N, HEIGHT, WIDTH, 3] RGB: red waves that wander over a green gradient, so that neighbours differ."""
    shown = np.full((len(tick), HEIGHT, WIDTH, 3), 40, np.uint8)
    across = np.arange(WIDTH)
    shown[..., 1] = 1.5 * across
    shown[..., 0] = (128 + 80 * np.sin(across / 10 + 0.9 * tick[:, None]))[:, None]
    return shown[:, :, ::-1] if turned else shown


def imported(tmp_path: Path, source: Path, format_name: str, answers: dict[str, str]) -> list[Episode]:
    desk = Desk(tmp_path / "session", SPEC, ANSWERS[format_name] | answers)
    results = desk.run(source)
    assert [(result.refused, result.finding.format) for result in results] == [(None, format_name)] * 3
    return [desk.store.load(str(result.episode)) for result in results]


def require_equal(episode: Episode, rows: Rows, spec: DataSpec = SPEC) -> None:
    """All that was given, but for the last row, whose command leads to no observation any more."""
    assert episode.steps == len(rows["action"]) - 1
    position, quaternion, grip = action_to_pose(episode.action, spec.action)
    commanded = rows["action"][:-1]
    np.testing.assert_allclose(position, commanded[:, :3], atol=1e-6)
    np.testing.assert_allclose(grip, commanded[:, 7], atol=1e-6)
    turn = Rotation.from_quat(quaternion) * Rotation.from_quat(commanded[:, 3:7]).inv()
    assert turn.magnitude().max() < 1e-5
    np.testing.assert_allclose(episode.proprioception[:, -1], rows["observation.state"][:, 7], atol=1e-6)
    np.testing.assert_allclose(np.diff(episode.observation_time), 1 / FPS, rtol=1e-4)


def require_alike(episode: Episode, rows: Rows, *, lossy: bool) -> None:
    for camera, key in CAMERAS.items():
        shown, recorded = episode.images[camera].astype(int), rows[key].astype(int)
        difference = np.abs(shown - recorded)
        assert difference.mean() < (CODEC_MEAN if lossy else 1e-9)
        assert difference.max() < (CODEC_MOST if lossy else 1)
        # an image of the step before is much further off than the codec makes any
        assert np.abs(shown[1:] - recorded[:-1]).mean() > 3 * difference.mean()


@pytest.mark.parametrize("images_as", ["video", "image"])
@pytest.mark.parametrize(("writer", "label"), [(LEROBOT_2, "v2.1"), (LEROBOT, "v3.0")], ids=["v2.1", "v3.0"])
def test_what_lerobot_wrote_is_imported_step_by_step(
    tmp_path: Path, writer: Reader, label: str, images_as: str
) -> None:
    for package in ("pyarrow", "av"):
        pytest.importorskip(package, reason="pip install 'station[formats]'")
    given = told()
    own = replace(writer, script=str(HERE / "write_lerobot.py"))
    names = {"names": np.array(LEROBOT_NAMES), "fps": np.array(FPS)}
    out = write(own, tmp_path / "set", images_as, **given, **names)
    assert f'"{label}"' in (out / "meta" / "info.json").read_text()
    assert len({path.stem for kind in ("data", "videos") for path in out.glob(f"{kind}/**/*.*")}) > 1
    for number, episode in enumerate(imported(tmp_path, out, "lerobot", {})):
        rows = {name: values[given["episode"] == number] for name, values in given.items()}
        require_equal(episode, rows)
        require_alike(episode, rows, lossy=images_as == "video")
        assert episode.header.source["format"] == "lerobot"


@pytest.mark.parametrize("name", ["replay.zarr", "replay.zarr.zip"])
def test_what_zarr_2_wrote_is_imported_step_by_step(tmp_path: Path, name: str) -> None:
    given = told()
    state, action = given["observation.state"], given["action"]
    columns = {
        "robot_eef_pose": _vectors(state),
        "gripper": state[:, 7:],
        "action": np.concatenate([_vectors(action), action[:, 7:]], 1),
        **{f"camera_{number}": given[key] for number, key in enumerate(CAMERAS.values())},
    }
    own = replace(ZARR_2, script=str(HERE / "write_replay_buffer.py"))
    out = write(own, tmp_path / name, episode=given["episode"], **columns)
    answers = {
        "actions": "commanded",
        "representation": "rotation_vector",
        "angle": "rad",
        "length": "m",
        "rate": str(FPS),
        "gripper": "gripper",
        "closed": "0",
        "open": "1",
        "action.gripper": "action[6:7]",
        "action.closed": "0",
        "action.open": "1",
        "camera.front": "camera_0",
        "camera.wrist": "camera_1",
    }
    columns_only = {"action.position": "action[0:3]", "action.rotation": "action[3:6]"}
    answers |= columns_only | {"action.representation": "rotation_vector"}
    for number, episode in enumerate(imported(tmp_path, out, "diffusion-policy", answers)):
        rows = {key: values[given["episode"] == number] for key, values in given.items()}
        require_equal(episode, rows)
        require_alike(episode, rows, lossy=False)


def _vectors(rows: NDArray[Any]) -> NDArray[np.float32]:
    """[N, 6] position and rotation vector."""
    return np.concatenate([rows[:, :3], Rotation.from_quat(rows[:, 3:7]).as_rotvec()], 1).astype(np.float32)
