"""Small valid files of every foreign format, with the real layouts, all telling of one motion that is known exactly.

The arm moves along x at 0.1 m/s while yawing at 0.3 rad/s, after a rest; the gripper closes towards the end. Every
image says in its first channel which tick it is; the second and third channel are a gradient and a constant, so that
a swap of colours shows.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as Turn

from datasets.rotation import REFERENCE_QUATERNION
from datasets.spec import ActionSpec, CameraSpec, DataSpec, Rotation, pose_names

Array = NDArray[np.float64]

HZ = 20.0
TICKS = 60
REST = 10
"""Ticks before the motion begins."""
CLOSES = 50
"""Tick at which the gripper is told to close."""
HEIGHT, WIDTH = 24, 32
BLUE = 40
"""What the last channel of every image says."""

JOINT_SPEC = DataSpec(
    cameras=(CameraSpec(name="front", height=HEIGHT, width=WIDTH),),
    proprioception=(*(f"joint_{number}" for number in range(1, 7)), "gripper"),
    action=ActionSpec(),
    control_hz=10.0,
)
"""What most tasks observe."""
POSE_SPEC = DataSpec(
    cameras=(CameraSpec(name="front", height=HEIGHT, width=WIDTH),),
    proprioception=(*pose_names(Rotation.ROTATION_VECTOR), "gripper"),
    action=ActionSpec(),
    control_hz=10.0,
)
"""For sources without joint angles."""
PANDA_SPEC = DataSpec(
    cameras=(CameraSpec(name="front", height=HEIGHT, width=WIDTH),),
    proprioception=(*(f"joint_{number}" for number in range(1, 8)), "gripper"),
    action=ActionSpec(),
    control_hz=10.0,
)
"""Seven joints."""


def seconds(tick: NDArray[Any]) -> Array:
    """s of motion at each tick."""
    return np.asarray(np.maximum(tick - REST, 0) / HZ, np.float64)


def poses(tick: NDArray[Any]) -> Array:
    """[n, 7] where the arm was told to be."""
    s = seconds(np.asarray(tick, np.float64))
    zero = np.zeros_like(s)
    yaw = Turn.from_quat(REFERENCE_QUATERNION) * Turn.from_rotvec(np.stack([zero, zero, 0.3 * s], 1))
    return np.concatenate([np.stack([0.3 + 0.1 * s, zero, zero + 0.2], 1), yaw.as_quat()], 1)


def joints(tick: NDArray[Any], count: int = 6) -> Array:
    """[n, count] rad"""
    return np.stack([0.1 * number + 0.2 * seconds(tick) for number in range(count)], 1)


def opening(tick: NDArray[Any]) -> Array:
    """[n] 0 closed .. 1 open"""
    return np.where(tick < CLOSES, 1.0, 0.0)


def image(tick: int) -> NDArray[np.uint8]:
    """RGB."""
    made = np.full((HEIGHT, WIDTH, 3), BLUE, np.uint8)
    made[..., 0] = 4 * tick
    made[..., 1] = np.linspace(0, 250, WIDTH).astype(np.uint8)
    return made


def images(ticks: int = TICKS) -> NDArray[np.uint8]:
    """[T, height, width, 3] RGB"""
    return np.stack([image(tick) for tick in range(ticks)])


T = np.arange(TICKS)


def aloha(path: Path, *, compressed: bool = False, bgr: bool = False) -> Path:
    """One arm's episode as ALOHA's recorder writes it."""
    shown = images()[..., ::-1] if bgr else images()
    with h5py.File(path, "w", rdcc_nbytes=1024**2 * 2) as file:
        file.attrs["sim"] = False
        observations = file.create_group("observations")
        group = observations.create_group("images")
        if compressed:
            file.attrs["compress"] = True
            rows = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for frame in shown]
            longest = max(len(row) for row in rows)
            padded = np.zeros((TICKS, longest), np.uint8)
            for number, row in enumerate(rows):
                padded[number, : len(row)] = row
            group.create_dataset("cam_high", data=padded, chunks=(1, longest))
            file.create_dataset("compress_len", data=np.array([[len(row) for row in rows]], np.float32))
        else:
            group.create_dataset("cam_high", data=shown, chunks=(1, HEIGHT, WIDTH, 3))
        state = np.concatenate([joints(T), opening(T)[:, None]], 1)
        observations.create_dataset("qpos", data=state.astype(np.float32))
        observations.create_dataset("qvel", data=np.zeros_like(state, np.float32))
        file.create_dataset("action", data=state.astype(np.float32))
    return path


OSC_POSE = {
    "type": "OSC_POSE",
    "input_max": 1,
    "input_min": -1,
    "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5],
    "output_min": [-0.05, -0.05, -0.05, -0.5, -0.5, -0.5],
    "control_delta": True,
}


def robomimic(path: Path, *, demos: int = 2, obs: bool = True, delta: bool = True) -> Path:
    """A robosuite data set as robomimic extracts it; actions are increments, or absolute."""
    environment = {
        "env_name": "Lift",
        "type": 1,
        "env_kwargs": {
            "robots": ["Panda"],
            "control_freq": int(HZ),
            "controller_configs": {**OSC_POSE, "control_delta": delta},
        },
    }
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = demos * TICKS
        data.attrs["env_args"] = json.dumps(environment)
        for number in range(demos):
            demo = data.create_group(f"demo_{number}")
            demo.create_dataset("states", data=np.zeros((TICKS, 5)))
            demo.create_dataset("actions", data=_robosuite_actions(delta=delta))
            if not obs:
                continue
            demo.attrs["num_samples"] = TICKS
            demo.create_dataset("rewards", data=(number == 0) * (T == TICKS - 1).astype(np.float64))
            demo.create_dataset("dones", data=(T == TICKS - 1).astype(np.int64))
            for name in ("obs", "next_obs"):
                observed = demo.create_group(name)
                shift = T + (name == "next_obs")
                pose = poses(shift)
                observed.create_dataset("robot0_eef_pos", data=pose[:, :3])
                observed.create_dataset("robot0_eef_quat", data=pose[:, 3:])
                observed.create_dataset("robot0_joint_pos", data=joints(shift + number, 7))
                finger = 0.04 * opening(shift)
                observed.create_dataset("robot0_gripper_qpos", data=np.stack([finger, -finger], 1))
                observed.create_dataset("front_image", data=images(), compression="gzip")
        if obs:
            mask = file.create_group("mask")
            mask.create_dataset("success", data=np.array(["demo_0"], dtype="S"))
    return path


def _robosuite_actions(*, delta: bool) -> Array:
    here, there = poses(T), poses(T + 1)
    grip = np.where(T < CLOSES, -1.0, 1.0)[:, None]
    after = Turn.from_quat(there[:, 3:])
    if not delta:
        return np.concatenate([there[:, :3], after.as_rotvec(), grip], 1)
    turn = (after * Turn.from_quat(here[:, 3:]).inv()).as_rotvec()
    return np.concatenate([(there[:, :3] - here[:, :3]) / 0.05, turn / 0.5, grip], 1)


def video(path: Path, frames: NDArray[np.uint8], rate: int = int(HZ)) -> Path:
    """An MP4 of RGB images."""
    av = needs("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "8", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def droid(root: Path, *, svo: bool = False) -> Path:
    """One episode folder as DROID's recorder leaves it; ticks 5 and 30 to 34 are skipped."""
    folder = root / "success" / "2023-05-01" / "Mon_May__1_12:00:00_2023"
    (folder / "recordings" / "MP4").mkdir(parents=True)
    (folder / "metadata_LAB+abc+2023.json").write_text(
        json.dumps({"wrist_cam_serial": "111", "ext1_cam_serial": "222", "ext2_cam_serial": "333"})
    )
    skipped = (T == 5) | ((T >= 30) & (T < 35))
    tick = T - np.clip(T - 29, 0, 5)
    # euler angles about fixed axes, of the true rotation
    pose = poses(tick)
    euler = Turn.from_quat(pose[:, 3:]).as_euler("xyz")
    with h5py.File(folder / "trajectory.h5", "w") as file:
        file.attrs["success"], file.attrs["failure"] = True, False
        state = file.create_group("observation/robot_state")
        state["cartesian_position"] = np.concatenate([pose[:, :3], euler], 1)
        state["gripper_position"] = 1 - opening(T)
        state["joint_positions"] = joints(tick, 7)
        state["joint_velocities"] = np.zeros((TICKS, 7))
        info = file.create_group("observation/controller_info")
        info["movement_enabled"] = ~skipped
        info["controller_on"] = np.ones(TICKS, np.bool_)
        info["success"] = info["failure"] = np.zeros(TICKS, np.bool_)
        stamps = file.create_group("observation/timestamp")
        stamps["robot_state/robot_timestamp_seconds"] = (1_700_000_000 + T / HZ).astype(np.int64)
        stamps["robot_state/robot_timestamp_nanos"] = ((T / HZ) % 1 * 1e9).astype(np.int64)
        stamps["control/step_start"] = (1_700_000_000_000 + 1000 * T / HZ).astype(np.int64)
        stamps["skip_action"] = skipped
        action = file.create_group("action")
        commanded = np.concatenate([pose[:, :3], euler], 1) * ~skipped[:, None]
        action["cartesian_position"] = commanded
        action["cartesian_velocity"] = np.zeros((TICKS, 6))
        action["gripper_position"] = 1 - opening(T)
        action["joint_position"] = joints(tick, 7)
    if svo:
        (folder / "recordings" / "SVO").mkdir()
        (folder / "recordings" / "SVO" / "222.svo").write_bytes(b"svo")
    else:
        video(folder / "recordings" / "MP4" / "222.mp4", images())
    return folder


LEROBOT_NAMES = ["x", "y", "z", "qx", "qy", "qz", "qw", "gripper"]


def lerobot(root: Path, version: str, *, episodes: int = 2, names: Any = None) -> Path:
    """A LeRobotDataset of end-effector poses; v2.1 or v3.0 by where its files lie."""
    pa, pq = needs("pyarrow"), needs("pyarrow.parquet")
    key = "observation.images.front"
    numbers = {"dtype": "float32", "shape": [8], "names": names or LEROBOT_NAMES}
    features: dict[str, Any] = {
        "observation.state": numbers,
        "action": numbers,
        key: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]},
        "next.success": {"dtype": "bool", "shape": [1], "names": None},
        **{
            name: {"dtype": "int64", "shape": [1], "names": None}
            for name in ("frame_index", "episode_index", "index", "task_index")
        },
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    }
    (root / "meta").mkdir(parents=True)
    info = {"codebase_version": "v3.0", "fps": int(HZ), "total_episodes": episodes, "features": features}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    tables = [_lerobot_rows(pa, number) for number in range(episodes)]
    if version == "v2.1":
        for number, table in enumerate(tables):
            place = root / "data" / "chunk-000" / f"episode_{number:06d}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, place)
            video(root / "videos" / "chunk-000" / key / f"episode_{number:06d}.mp4", images())
        lines = [
            json.dumps({"episode_index": n, "length": TICKS, "tasks": ["lift"]}) for n in range(episodes)
        ]
        (root / "meta" / "episodes.jsonl").write_text("\n".join(lines))
        return root
    for folder in ("data/chunk-000", "meta/episodes/chunk-000"):
        (root / folder).mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), root / "data" / "chunk-000" / "file-000.parquet")
    video(root / "videos" / key / "chunk-000" / "file-000.mp4", np.concatenate([images()] * episodes))
    rows = [_lerobot_place(key, number) for number in range(episodes)]
    pq.write_table(pa.Table.from_pylist(rows), root / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    return root


def _lerobot_rows(pa: Any, number: int) -> Any:
    def vectors(values: Array) -> Any:
        flat = pa.array(values.astype(np.float32).reshape(-1), pa.float32())
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])

    state = np.concatenate([poses(T + 0.01 * number), opening(T)[:, None]], 1)
    action = np.concatenate([poses(T + 1 + 0.01 * number), opening(T)[:, None]], 1)
    return pa.table(
        {
            "observation.state": vectors(state),
            "action": vectors(action),
            "next.success": (T == TICKS - 1) & (number == 0),
            "timestamp": pa.array((T / HZ).astype(np.float32)),
            "frame_index": T,
            "episode_index": np.full(TICKS, number),
            "index": number * TICKS + T,
            "task_index": np.zeros(TICKS, np.int64),
        }
    )


def _lerobot_place(key: str, number: int) -> dict[str, Any]:
    return {
        "episode_index": number,
        "tasks": ["lift"],
        "length": TICKS,
        "data/chunk_index": 0,
        "data/file_index": 0,
        "dataset_from_index": number * TICKS,
        "dataset_to_index": (number + 1) * TICKS,
        f"videos/{key}/chunk_index": 0,
        f"videos/{key}/file_index": 0,
        f"videos/{key}/from_timestamp": number * TICKS / HZ,
        f"videos/{key}/to_timestamp": (number + 1) * TICKS / HZ,
    }


def umi(path: Path, *, episodes: int = 2, jpegxl: bool = False, version: Literal[2, 3] = 2) -> Path:
    """A UMI replay buffer, as a folder or, where the name ends so, a zip; it holds no actions."""
    import numcodecs
    import zarr
    from zarr.storage import LocalStore, ZipStore

    compressor: Any = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.BITSHUFFLE)
    packed: Any = compressor
    if jpegxl:
        packed = needs("imagecodecs.numcodecs").Jpegxl(level=99, distance=0.3)
        numcodecs.register_codec(type(packed))
    pose = np.concatenate([poses(T + 0.01 * number) for number in range(episodes)])
    vector = Turn.from_quat(pose[:, 3:]).as_rotvec()
    columns: dict[str, NDArray[Any]] = {
        "robot0_eef_pos": pose[:, :3].astype(np.float32),
        "robot0_eef_rot_axis_angle": vector.astype(np.float32),
        "robot0_gripper_width": np.tile(0.08 * opening(T), episodes)[:, None].astype(np.float32),
        "robot0_demo_start_pose": np.zeros((len(pose), 6)),
    }
    store = ZipStore(path, mode="w") if path.name.endswith(".zip") else LocalStore(path)
    root = zarr.open_group(store, mode="w", zarr_format=version)
    if version == 3:
        compressor = packed = None
    for name, values in columns.items():
        root.create_array(f"data/{name}", data=values, chunks=(100, values.shape[1]), compressors=compressor)
    shown = np.concatenate([images()] * episodes)
    root.create_array(
        "data/camera0_rgb", data=shown, chunks=(1, HEIGHT, WIDTH, 3), compressors=packed, filters=None
    )
    ends = np.cumsum([TICKS] * episodes).astype(np.int64)
    root.create_array("meta/episode_ends", data=ends, compressors=None)
    store.close()
    return path


def hil_serl(path: Path, *, episodes: int = 2, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    """Transitions as HIL-SERL's demonstration script pickles them."""
    transitions = []
    for number in range(episodes):
        pose, grip = poses(np.arange(TICKS + 1) + 0.01 * number), opening(np.arange(TICKS + 1))
        for tick in range(TICKS):
            done = tick == TICKS - 1
            transitions.append(
                {
                    "observations": _serl_observation(pose, grip, tick),
                    "actions": np.zeros(7, np.float32),
                    "next_observations": _serl_observation(pose, grip, tick + 1),
                    "rewards": np.float64(done),
                    "masks": 1.0 - done,
                    "dones": done,
                    "infos": {
                        "succeed": np.bool_(done),
                        "original_state_obs": {"tcp_pose": pose[tick], "gripper_pose": grip[tick : tick + 1]},
                    },
                }
            )
    path.write_bytes(pickle.dumps(transitions, protocol=protocol))
    return path


def _serl_observation(pose: Array, grip: Array, tick: int) -> dict[str, Any]:
    state = np.concatenate([pose[tick], grip[tick : tick + 1]])[None].astype(np.float32)
    return {"state": state, "front": image(min(tick, TICKS - 1))[None]}


def needs(module: str) -> Any:
    """A package that an extra brings; a test without it is skipped with the line that brings it."""
    return pytest.importorskip(
        module, reason="the formats need more packages: pip install 'station[formats]'"
    )


Make = Callable[[Path], Path]
ANSWERS: dict[str, dict[str, str]] = {
    "aloha": {
        "colour": "rgb",
        "rate": "20",
        "kinematics": "xarm6",
        "state": "joints",
        "angle": "rad",
        "closed": "0",
        "open": "1",
        "action.closed": "0",
        "action.open": "1",
    },
    "robomimic": {},
    "droid": {},
    "lerobot": {"gripper": "0,1", "action.gripper": "0,1", "length": "m"},
    "diffusion-policy": {"colour": "rgb", "rate": "20", "gripper": "0,0.08"},
    "hil-serl": {"colour": "rgb", "rate": "20", "gripper": "0,1"},
}
"""What each format cannot know of these files."""
BOTH_ARMS = ANSWERS["aloha"] | {
    "arm2.closed": "0", "arm2.open": "1", "arm2.action.closed": "0", "arm2.action.open": "1",
}  # fmt: skip
"""Of an ALOHA file with two arms."""
SPECS = {
    "aloha": JOINT_SPEC,
    "robomimic": PANDA_SPEC,
    "droid": PANDA_SPEC,
    "lerobot": POSE_SPEC,
    "diffusion-policy": POSE_SPEC,
    "hil-serl": POSE_SPEC,
}
MAKERS: dict[str, tuple[str, Make]] = {
    "aloha": ("aloha", lambda folder: aloha(folder / "episode_0.hdf5")),
    "aloha-jpeg": ("aloha", lambda folder: aloha(folder / "episode_1.hdf5", compressed=True)),
    "robomimic": ("robomimic", lambda folder: robomimic(folder / "image.hdf5")),
    "droid": ("droid", droid),
    "lerobot-v2.1": ("lerobot", lambda folder: lerobot(folder / "set", "v2.1")),
    "lerobot-v3.0": ("lerobot", lambda folder: lerobot(folder / "set", "v3.0")),
    "umi": ("diffusion-policy", lambda folder: umi(folder / "dataset.zarr")),
    "umi-zip": ("diffusion-policy", lambda folder: umi(folder / "dataset.zarr.zip", jpegxl=True)),
    "umi-v3": ("diffusion-policy", lambda folder: umi(folder / "dataset.zarr", version=3)),
    "umi-v3-zip": ("diffusion-policy", lambda folder: umi(folder / "dataset.zarr.zip", version=3)),
    "hil-serl": ("hil-serl", lambda folder: hil_serl(folder / "demos.pkl")),
}
"""kind of source -> its format's name and how to make one in a folder"""
