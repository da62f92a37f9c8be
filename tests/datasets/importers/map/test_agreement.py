"""What a source's numbers mean is compared with what its arm did; nothing is taken for a target or a unit unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as Turn

from datasets.importers.defects import Defect, Treatment
from datasets.importers.enter.intake import ImportResult
from datasets.importers.files.description import NAME
from datasets.importers.kinematics import forward_kinematics
from datasets.importers.map.agreement import Pair, fitting, follows, opposed
from datasets.importers.map.proposals import are_increments, joint_range, named_range
from datasets.importers.map.turns import told_apart, turn_readings, turned
from datasets.importers.mapping import comparable, parse_answers
from datasets.rotation import action_to_pose
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.formats.test_described import MEANING
from tests.datasets.importers.sources import ANSWERS, MAKERS, SPECS, TICKS, T

UPRIGHT = np.array([0, 0, 0, 0, 0, 0, 1, 0])
"""What makes a rotation of no numbers a quaternion."""
NAMES = ["x", "y", "z", "qx", "qy", "qz", "qw", "gripper"]


def rewritten(root: Path, change: Callable[[str, NDArray[np.float64]], NDArray[np.float64]]) -> None:
    """The vectors of a LeRobot set's tables, changed by column."""
    pa, pq = sources.needs("pyarrow"), sources.needs("pyarrow.parquet")
    for path in root.rglob("data/**/*.parquet"):
        table = pq.read_table(path)
        for name in ("observation.state", "action"):
            values = change(name, np.array(table[name].to_pylist()))
            number = table.column_names.index(name)
            table = table.set_column(number, name, pa.array(values.tolist(), pa.list_(pa.float32())))
        pq.write_table(table, path)


def steps(poses: NDArray[np.float64], scale: float, *, along_tool: bool = False) -> NDArray[np.float64]:
    """[T, 6] from each pose [T, 7] to the next, position in units of `scale` m, rotation vector in rad."""
    here, there = poses, np.concatenate([poses[1:], poses[-1:]])
    move, own = there[:, :3] - here[:, :3], Turn.from_quat(here[:, 3:])
    turn = Turn.from_quat(there[:, 3:]) * own.inv()
    if along_tool:
        move, turn = own.inv().apply(move), own.inv() * Turn.from_quat(there[:, 3:])
    return np.concatenate([move / scale, turn.as_rotvec()], axis=1)


def of_increments(desk: Desk, names: list[str] | None = None, **how: Any) -> Path:
    """A LeRobot set whose actions are increments of its observed poses, whatever its names say."""
    root = sources.lerobot(desk.inbox / "set", "v2.1", episodes=1, names=names or NAMES)
    poses = sources.poses(T)
    # a tool whose axes are not the base's
    poses[:, 3:] = (Turn.from_quat(poses[:, 3:]) * Turn.from_rotvec([0, 0, np.pi / 2])).as_quat()

    def change(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        numbers = [steps(poses, 0.02, **how), np.zeros((TICKS, 1))] if name == "action" else [poses]
        return np.concatenate([*numbers, values[:, 7:]], axis=1)

    rewritten(root, change)
    return root


def question(result: ImportResult) -> str:
    """What it is refused with, which must be a question and no error."""
    assert {note.defect for note in result.finding.defects if note.treatment is Treatment.REFUSED} == {
        Defect.UNANSWERED
    }
    return str(result.refused)


def test_actions_whose_names_speak_of_increments_are_never_taken_for_targets(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    names = ["delta_x", "delta_y", "delta_z", "delta_qx", "delta_qy", "delta_qz", "delta_qw", "gripper"]
    of_increments(desk, names)
    (result,) = desk.run()
    assert "actions are called delta_x, delta_y, delta_z" in question(result)
    assert "for increments: their numbers fit the steps of 'observation.state[0:3]' with 1.00" in str(
        result.refused
    )
    assert "--actions increments|commanded|achieved" in str(result.refused), "the name proposes an answer"


def test_increments_under_plain_names_are_found_by_what_the_arm_did(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    of_increments(desk)
    (result,) = desk.run()
    said = question(result)
    assert "the arm does not follow 'action[0:3]'" in said
    assert "fit increments (1 means about 0.02 m, along the axes of the base)" in said
    assert "--actions increments|achieved|commanded" in said
    assert [each.name for each in desk.looks(desk.inbox)[0].outline.open] == ["actions"]  # type: ignore[union-attr]


def test_an_answer_that_the_motion_contradicts_is_taken_with_a_warning_of_what_would_fit(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"] | {"actions": "commanded"})
    root = of_increments(desk)
    rewritten(root, lambda name, values: values if name != "action" else values + UPRIGHT)
    (result,) = desk.run()
    assert result.refused is None
    (note,) = [note for note in result.finding.defects if note.defect is Defect.CONTRADICTION]
    assert "fit increments" in note.text and "--actions increments" in note.text


@pytest.mark.parametrize("along_tool", [False, True])
def test_increments_become_the_targets_that_the_arm_reached(tmp_path: Path, along_tool: bool) -> None:
    answers = ANSWERS["lerobot"] | {
        "actions": "increments", "action.rotation": "action[3:6]", "increment_position": "0.02",
        "increment_rotation": "1", "increment_turn": "vector",
    }  # fmt: skip
    desk = Desk(tmp_path, SPECS["lerobot"], answers)
    of_increments(desk, along_tool=along_tool)
    (result,) = desk.run()
    assert "--map increment_frame=base|tool" in question(result)
    desk.answers[""]["increment_frame"] = "tool" if along_tool else "base"
    (result,) = desk.run()
    assert result.refused is None
    assert not [note for note in result.finding.defects if note.defect is Defect.CONTRADICTION]
    episode = desk.store.load(str(result.episode))
    position, quaternion, _ = action_to_pose(episode.action, desk.spec.action)
    seen, turned, _ = action_to_pose(episode.proprioception, desk.spec.action)
    # the target of a step is what is observed after it
    np.testing.assert_allclose(position[:-1], seen[1:-1], atol=2e-3)
    assert np.abs((quaternion[:-1] * turned[1:-1]).sum(1)).min() > 1 - 1e-4


def test_the_wrong_axes_and_the_wrong_size_of_increments_are_named(tmp_path: Path) -> None:
    answers = ANSWERS["lerobot"] | {
        "actions": "increments", "action.rotation": "action[3:6]", "increment_position": "1",
        "increment_rotation": "1", "increment_turn": "vector", "increment_frame": "base",
    }  # fmt: skip
    desk = Desk(tmp_path, SPECS["lerobot"], answers)
    of_increments(desk, along_tool=True)
    (result,) = desk.run()
    said = [note.text for note in result.finding.defects if note.defect is Defect.CONTRADICTION]
    assert any("--map increment_frame=tool" in text for text in said)
    assert any("--map increment_position=0.02" in text for text in said)


DELTAS: dict[str, list[str]] = {
    "dx": ["dx", "dy", "dz", "droll", "dpitch", "dyaw"],
    "d_x": ["d_x", "d_y", "d_z", "d_roll", "d_pitch", "d_yaw"],
    "delta": ["delta_x", "delta_y", "delta_z", "delta_roll", "delta_pitch", "delta_yaw"],
    "of the end effector": [
        "eef.rel_x",
        "eef.rel_y",
        "eef.rel_z",
        "eef.rel_roll",
        "eef.rel_pitch",
        "eef.rel_yaw",
    ],
    "behind": ["x_delta", "y_delta", "z_delta", "roll_delta", "pitch_delta", "yaw_delta"],
    "together": ["deltaX", "deltaY", "deltaZ", "deltaRoll", "deltaPitch", "deltaYaw"],
}
EULER_STATE = ["x", "y", "z", "roll", "pitch", "yaw"]


def euler_motion() -> NDArray[np.float64]:
    """[T, 6] m and euler angles xyz, rad, of a tool that looks down and turns about all its axes."""
    t = np.linspace(0, 2.5, TICKS)
    where = np.stack([0.4 + 0.1 * np.sin(t), 0.1 * t, 0.2 + 0.1 * np.cos(t)], 1)
    return np.concatenate(
        [where, np.stack([2.8 + 0.3 * np.sin(2 * t), 0.6 * np.sin(1.3 * t), 0.9 * t], 1)], 1
    )


def of_euler_differences(desk: Desk, names: list[str], *, absolute: bool = False) -> Path:
    """A LeRobot set whose state is a pose with euler angles and whose action is the difference to the next."""
    root = sources.lerobot(desk.inbox / "set", "v2.1", episodes=1)
    facts = json.loads((root / "meta" / "info.json").read_text())
    for name, called in (("observation.state", EULER_STATE), ("action", names)):
        facts["features"][name] |= {"names": [*called, "gripper"], "shape": [7]}
    (root / "meta" / "info.json").write_text(json.dumps(facts))
    pose = euler_motion()
    there = np.concatenate([pose[1:], pose[-1:]])
    action = there if absolute else there - pose
    rewritten(root, lambda name, old: np.concatenate([action if name == "action" else pose, old[:, 7:]], 1))
    return root


@pytest.mark.parametrize("kind", DELTAS)
def test_names_of_increments_propose_the_answer_and_the_motion_is_said_beside_it(
    tmp_path: Path, kind: str
) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    of_euler_differences(desk, DELTAS[kind])
    said = question(desk.run()[0])
    first = ", ".join(DELTAS[kind][:3])
    assert f"actions are called {first}, .., as increments are" in said
    assert "for increments: their numbers fit the steps of 'observation.state[0:3]' with 1.00" in said
    assert "say --actions increments|commanded|achieved" in said


def test_targets_that_are_called_increments_are_asked_about_with_what_speaks_against_it(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    of_euler_differences(desk, DELTAS["dx"], absolute=True)
    assert "against increments: 'observation.state[0:3]' goes where they say" in question(desk.run()[0])
    desk.answers[""] |= {"actions": "commanded", "euler": "xyz", "angle": "rad"}
    (result,) = desk.run()
    assert result.refused is None


def test_differences_of_euler_angles_are_no_rotation_vectors(tmp_path: Path) -> None:
    answers = {
        "actions": "increments", "increment_position": "1", "increment_rotation": "1", "increment_frame": "base",
        "euler": "xyz", "angle": "rad",
    }  # fmt: skip
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"] | answers)
    of_euler_differences(desk, DELTAS["dx"])
    said = question(desk.run()[0])
    assert "differences of the pose's euler angles (xyz) fit with 1.00" in said
    assert "say --map increment_turn=difference|" in said
    desk.answers[""]["increment_turn"] = "vector"
    (wrong,) = desk.run()
    (note,) = [note for note in wrong.finding.defects if note.defect is Defect.CONTRADICTION]
    assert "taken for a rotation vector" in note.text and "--map increment_turn=difference" in note.text
    desk.answers[""]["increment_turn"] = "difference"
    (right,) = desk.run(again=True)
    assert not [note for note in right.finding.defects if note.defect is Defect.CONTRADICTION]
    episode = desk.store.load(str(right.episode))
    _, told, _ = action_to_pose(episode.action, desk.spec.action)
    _, seen, _ = action_to_pose(episode.proprioception, desk.spec.action)
    assert np.abs((told[:-1] * seen[1:-1]).sum(1)).min() > 1 - 1e-3


@pytest.mark.parametrize("kind", ["vector", "euler", "difference"])
@pytest.mark.parametrize("along_tool", [False, True])
def test_what_a_rotation_is_turned_by_is_told_from_the_motion_of_an_arm_that_lags(
    kind: str, along_tool: bool
) -> None:
    """The numbers are said four ticks before the arm does it, and only the right meaning explains all of it."""
    tick = np.arange(200)[:, None] / 20
    told = 0.04 * np.cos(tick * np.array([1.0, 1.7, 2.3]) + np.array([0, 1, 2]))
    pose = np.array([[0.4, 0, 0.2, *Turn.from_euler("xyz", [2.6, 0.8, 0.3]).as_quat()]])
    seen = [pose[0, 3:].copy()]
    for row in told[:-1]:
        pose[0, 3:] = turned(pose, row[None], kind, "xyz", along_tool=along_tool)[0]
        seen.append(pose[0, 3:].copy())
    late = np.concatenate([np.repeat(np.array(seen[:1]), 4, axis=0), seen[:-4]])
    readings = turn_readings(told, late, ("xyz",), 0.05)
    fits = {reading.kind: reading.fit.correlation for reading in readings}
    assert fits[kind] > 0.999
    assert kind == "difference" or readings[0].fit.frame == ("tool" if along_tool else "base")
    # a small turn is the same vector and the same euler angles
    others = {"difference"} if kind != "difference" else {"vector", "euler"}
    by_kind = {reading.kind: reading for reading in readings}
    assert told_apart(by_kind[kind], *(by_kind[other] for other in others)), fits


def test_a_members_own_name_speaks_of_increments_in_every_format(tmp_path: Path) -> None:
    desk = Desk(tmp_path, sources.POSE_SPEC)
    poses, grip = sources.poses(T), sources.opening(T)
    delta = np.concatenate([steps(poses, 0.05), grip[:, None]], 1)
    np.savez(desk.inbox / "e.npz", ee=poses, grip=grip, delta_cmd=delta, rgb=sources.images())
    renamed = {name: text.replace("cmd", "delta_cmd") for name, text in MEANING.items()}
    entries = "\n".join(f'"{name}" = "{value}"' for name, value in renamed.items())
    (desk.inbox / NAME).write_text(f'files = "*.npz"\n[map]\n{entries}\n')
    said = question(desk.run()[0])
    assert "actions are called delta_cmd, as increments are" in said and "1 means about 0.05 m" in said


def test_increments_of_joints_become_targets_as_well(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    path = sources.aloha(desk.inbox / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        state = file["observations/qpos"][()]
        action = file["action"][()]
        action[:, :6] = np.concatenate([np.diff(state[:, :6], axis=0), np.zeros((1, 6))]) / 0.1
        file["action"][...] = action
    (result,) = desk.run()
    assert "fit increments (1 means about 0.1 rad)" in question(result)
    desk.answers[""]["actions"] = "increments"
    (result,) = desk.run()
    assert "--map increment_rotation=0.05" in question(result)
    desk.answers[""]["increment_rotation"] = "0.1"
    (result,) = desk.run()
    episode = desk.store.load(str(result.episode))
    position, _, _ = action_to_pose(episode.action, desk.spec.action)
    reached = forward_kinematics("xarm6")(episode.proprioception[1:, :6].astype(np.float64))
    np.testing.assert_allclose(position[:-1], reached[:-1, :3], atol=2e-3)


def _droid_of_steps(inbox: Path) -> None:
    (path,) = inbox.rglob("trajectory.h5")
    with h5py.File(path, "r+") as file:
        seen = file["observation/robot_state/cartesian_position"][()]
        file["action/cartesian_position"][...] = (
            np.concatenate([np.diff(seen, axis=0), np.zeros((1, 6))]) * 10
        )


def _robomimic_of_steps(inbox: Path) -> None:
    (path,) = inbox.iterdir()
    path.unlink()
    absolute, deltas = (sources.robomimic(inbox / f"{delta}.hdf5", delta=delta) for delta in (False, True))
    with h5py.File(absolute, "r+") as file, h5py.File(deltas, "r") as other:
        for demo in ("demo_0", "demo_1"):
            file[f"data/{demo}/actions"][...] = other[f"data/{demo}/actions"][()]
    deltas.unlink()


def _replay_of_steps(inbox: Path) -> None:
    import zarr

    (path,) = inbox.iterdir()
    data = zarr.open_group(path, mode="r+", zarr_format=2)["data"]
    assert isinstance(data, zarr.Group)
    pose = np.tile(sources.poses(T), (2, 1))
    action = np.concatenate([steps(sources.poses(T), 0.1)] * 2)
    data.create_array("robot_eef_pose", data=np.concatenate([pose[:, :3], pose[:, :3]], 1), chunks=(100, 6))
    data.create_array("action", data=np.concatenate([action, np.zeros((2 * TICKS, 1))], 1), chunks=(100, 7))


REPLAY = {
    "position": "robot_eef_pose[0:3]", "rotation": "robot0_eef_rot_axis_angle",
    "representation": "rotation_vector", "action.representation": "rotation_vector", "length": "m",
    "angle": "rad", "action.position": "action[0:3]", "action.rotation": "action[3:6]",
    "action.gripper": "action[6:7]", "action.closed": "0", "action.open": "1",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "change"), [("droid", _droid_of_steps), ("robomimic", _robomimic_of_steps)])
def test_commands_of_a_format_that_says_what_they_are_are_compared_with_what_was_observed(
    tmp_path: Path, kind: str, change: Callable[[Path], None]
) -> None:
    name, make = MAKERS[kind]
    desk = Desk(tmp_path, SPECS[name], ANSWERS[name])
    make(desk.inbox)
    change(desk.inbox)
    for result in desk.run():
        assert "the arm does not follow" in question(result)
    assert desk.store.ids() == []


@pytest.mark.slow
def test_commands_of_a_replay_buffer_are_compared_with_what_was_observed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["diffusion-policy"], ANSWERS["diffusion-policy"] | REPLAY)
    sources.umi(desk.inbox / "dataset.zarr")
    _replay_of_steps(desk.inbox)
    for result in desk.run():
        assert "whether the source's actions are absolute targets is not written" in question(result)
    desk.answers[""]["actions"] = "commanded"
    for result in desk.run():
        said = [note.text for note in result.finding.defects if note.defect is Defect.CONTRADICTION]
        assert any("fit increments (1 means about 0.1 m" in text for text in said)


def motion(ticks: int = 200) -> NDArray[np.float64]:
    """[T, 3] m, somewhere in reach."""
    t = np.linspace(0, 4 * np.pi, ticks)
    return np.stack([0.4 + 0.1 * np.sin(t), 0.1 * np.cos(0.7 * t), 0.2 + 0.05 * np.sin(1.3 * t)], 1)


def pair(commanded: NDArray[np.float64], observed: NDArray[np.float64]) -> Pair:
    return Pair(commanded=commanded, observed=observed, unit="m", names=("action", "state"))


def test_an_arm_that_lags_sags_or_stands_in_another_frame_follows_all_the_same() -> None:
    seen, period = motion(), 0.05
    late = np.concatenate([seen[20:], np.repeat(seen[-1:], 20, axis=0)])
    assert follows(pair(late, seen), period), "a second behind"
    assert follows(pair(seen + np.array([0, 0, 0.15]), seen), period), "a tool between the two"
    assert follows(pair(0.7 * seen + 0.3 * seen.mean(0), seen), period), "a soft arm"
    leaps = seen.copy()
    leaps[::5] += 1.0
    assert follows(pair(leaps, seen), period), "a few leaps are another defect"
    assert follows(pair(seen[:1].repeat(200, 0), seen[:1].repeat(200, 0)), period), "nothing moves"
    assert not follows(pair(np.gradient(seen, axis=0), seen), period)
    assert follows(pair(motion(45_000), motion(45_000)), period), "as long as a day's work"
    assert not follows(pair(np.zeros_like(seen), seen[:1].repeat(200, 0)), period)


def test_increments_that_an_arm_smears_over_time_are_still_known() -> None:
    seen = motion()
    told = np.diff(seen, axis=0) / 0.05
    sluggish = np.empty_like(seen)
    sluggish[0] = seen[0]
    for tick in range(1, len(seen)):
        sluggish[tick] = sluggish[tick - 1] + 0.3 * (seen[tick - 1] - sluggish[tick - 1])
    fit = fitting(told, sluggish, None, 0.05)
    assert fit is not None and fit.scale == pytest.approx(0.05, rel=0.3)
    assert fitting(np.random.default_rng(3).normal(size=told.shape), seen, None, 0.05) is None


def test_what_names_say_of_speeds_and_differences_is_no_position() -> None:
    assert (
        are_increments(("delta_x", "dy"))
        and are_increments(("eef.rel.x",))
        and not are_increments(("x", "elder_y", "index", "depth_x", "drive", "model.y"))
    )
    assert named_range(("vel_x", "vel_y", "vel_z"), ("x", "y", "z")) is None
    assert (
        named_range(("left_x", "left_y", "left_z", "right_x", "right_y", "right_z"), ("x", "y", "z")) is None
    )
    assert joint_range(("joint_1.vel", "joint_2.vel")) is None
    assert joint_range(("joint_1.pos", "joint_2.pos", "joint_1.vel", "joint_2.vel")) == "[0:2]"


def aloha(desk: Desk, change: Callable[[NDArray[np.float64]], NDArray[np.float64]], *names: str) -> Path:
    path = sources.aloha(desk.inbox / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        for name in names or ("observations/qpos", "action"):
            file[name][...] = change(file[name][()])
    return path


def test_nothing_about_an_act_file_is_assumed_that_it_does_not_say(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], {"colour": "rgb", "rate": "20", "kinematics": "xarm6"})
    aloha(desk, lambda values: values * ([1] * 6 + [0.085]))
    (result,) = desk.run()
    assert "'observations/qpos[0:6]' holds joint angles or a pose" in question(result)
    assert "--map state=joints|pose" in str(result.refused)
    desk.answers[""]["state"] = "joints"
    (result,) = desk.run()
    said = question(result)
    assert "when it is open (it runs from 0 to 0.085): say --gripper CLOSED,OPEN" in said
    assert "--map action.range=CLOSED,OPEN" in said and "--map angle=rad|deg|percent" in said
    desk.answers[""] |= parse_answers(["gripper=0,0.085", "action.range=0,0.085", "angle=rad"])
    (result,) = desk.run()
    assert desk.store.load(str(result.episode)).action[0, -1] == pytest.approx(1)


def test_a_wrong_range_of_a_gripper_is_told_with_the_one_that_would_fit(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    aloha(desk, lambda values: values * ([1] * 6 + [0.085]))
    (result,) = desk.run()
    said = [note.text for note in result.finding.defects if note.defect is Defect.CONTRADICTION]
    assert any("say --gripper 0,0.085" in text for text in said)
    assert any("say --map action.range=0,0.085" in text for text in said)


def test_a_gripper_told_to_close_when_it_opens_is_told_with_the_ends_swapped(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])

    def inverted(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([values[:, :6], 1 - values[:, 6:]], axis=1)

    aloha(desk, inverted, "action")
    (result,) = desk.run()
    (note,) = [note for note in result.finding.defects if note.defect is Defect.CONTRADICTION]
    assert "say --map action.range=1,0" in note.text
    rng = np.random.default_rng(0)
    grip = (rng.random(200) > 0.5).astype(np.float64)
    assert not opposed(grip, np.roll(grip, 3), 0.05), "late is not the other way round"


def test_six_numbers_of_a_pose_are_read_as_one_once_somebody_says_so(tmp_path: Path) -> None:
    spec = replace(SPECS["aloha"], proprioception=sources.POSE_SPEC.proprioception)
    answers = {key: value for key, value in ANSWERS["aloha"].items() if key != "kinematics"}
    desk = Desk(tmp_path, spec, answers | {"state": "pose"})
    pose = sources.poses(T)
    numbers = np.concatenate([1000 * pose[:, :3], Turn.from_quat(pose[:, 3:]).as_rotvec()], axis=1)
    aloha(desk, lambda values: np.concatenate([numbers, values[:, 6:]], axis=1))
    (result,) = desk.run()
    said = question(result)
    assert "how 'action[3:6]' writes a rotation" in said and "--map length=m|cm|mm" in said
    turns = {"representation": "rotation_vector", "action.representation": "rotation_vector"}
    desk.answers[""] |= turns | {"length": "m"}
    (result,) = desk.run()
    assert any("--map length=mm" in note.text for note in result.finding.defects)
    desk.answers[""]["length"] = "mm"
    (result,) = desk.run(again=True)
    position, _, _ = action_to_pose(desk.store.load(str(result.episode)).action, spec.action)
    np.testing.assert_allclose(position[0], pose[sources.REST, :3], atol=5e-3)


@pytest.mark.parametrize(
    ("factor", "told", "fits"),
    [(1.0, "deg", "angle=rad"), (lambda joints: 100 * joints / np.abs(joints).max(), "deg", "angle=percent")],
)
def test_a_unit_that_the_numbers_contradict_is_told_with_the_one_that_would_fit(
    tmp_path: Path, factor: Any, told: str, fits: str
) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"] | {"angle": told})

    def scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
        joints = factor(values[:, :6]) if callable(factor) else factor * values[:, :6]
        return np.concatenate([joints, values[:, 6:]], axis=1)

    aloha(desk, scaled)
    (result,) = desk.run()
    assert any(
        f"--map {fits}" in note.text for note in result.finding.defects if note.defect is Defect.CONTRADICTION
    )


def test_percent_of_a_joints_range_are_refused_with_what_makes_them_usable(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"] | {"angle": "percent"})
    sources.aloha(desk.inbox / "episode_0.hdf5")
    (result,) = desk.run()
    assert "percent of a joint's range is not an angle" in str(result.refused)
    assert "use_degrees" in str(result.refused)


def test_an_import_from_before_these_questions_is_not_taken_for_another_one() -> None:
    older = {"joints": "observations/qpos[0:6]", "closed": "0.0", "actions": "increments"}
    assert comparable(older | {"state": "joints", "increment_frame": "base"}) == comparable(older)
    assert comparable(older | {"increment_frame": "tool"}) != comparable(older)
