"""What columns mean: proposed where the source says it, asked where it does not, and never guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datasets.importers.defects import Question
from datasets.importers.map.answers import AnswersError, load, save
from datasets.importers.map.proposals import joint_range, matched_cameras, named_range
from datasets.importers.mapping import Mapping, MappingError, parse_answers
from datasets.rotation import action_to_pose
from datasets.spec import CameraSpec
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, BOTH_ARMS, SPECS


def test_every_unanswered_question_names_the_flag_that_answers_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"])
    sources.aloha(desk.inbox / "episode_0.hdf5")
    (result,) = desk.run()
    for flag in ("--colour rgb|bgr", "--rate 50", "--map state=joints|pose"):
        assert flag in str(result.refused)
    assert desk.store.ids() == []
    assert result.outline is not None
    assert {question.name for question in result.outline.open} == {"colour", "rate", "state"}
    assert result.outline.entries["camera.front"] == "cam_high"
    desk.answers[""]["state"] = "joints"
    (result,) = desk.run()
    assert "--kinematics xarm6|xarm7|fr3|FILE.urdf" in str(result.refused)


def test_the_answered_order_of_colours_is_obeyed(tmp_path: Path) -> None:
    for order in ("rgb", "bgr"):
        desk = Desk(tmp_path / order, SPECS["aloha"], ANSWERS["aloha"] | {"colour": order})
        sources.aloha(desk.inbox / "episode_0.hdf5", bgr=order == "bgr")
        (result,) = desk.run()
        shown = desk.store.load(str(result.episode)).images["front"]
        assert (shown[..., 2] == sources.BLUE).all()


def test_the_answered_order_of_quaternions_is_obeyed(tmp_path: Path) -> None:
    names = ["x", "y", "z", "rot_0", "rot_1", "rot_2", "rot_3", "gripper"]
    answers = ANSWERS["lerobot"] | {"rotation": "observation.state[3:7]", "action.rotation": "action[3:7]"}
    desk = Desk(tmp_path, SPECS["lerobot"], answers)
    sources.lerobot(desk.inbox / "set", "v2.1", episodes=1, names=names)
    (result,) = desk.run()
    assert "--quaternion xyzw|wxyz" in str(result.refused)
    desk.answers[""]["quaternion"] = "wxyz"
    (wrong,) = desk.run()
    desk.answers[""]["quaternion"] = "xyzw"
    right = desk.looks(desk.inbox)[0].finding
    assert right.refused is None
    assert wrong.refused is None, "nobody can tell from the numbers, which is why it is asked"


def test_joint_names_of_a_data_set_are_read_and_its_unit_is_asked(tmp_path: Path) -> None:
    names = [*(f"joint_{number}.pos" for number in range(7)), "gripper.pos"]
    desk = Desk(
        tmp_path, SPECS["robomimic"], {"gripper": "0,1", "action.gripper": "0,1", "kinematics": "xarm7"}
    )
    sources.lerobot(desk.inbox / "set", "v2.1", episodes=1, names=names)
    (result,) = desk.run()
    assert str(result.refused) == (
        "the unit of angles is not written in the source ('observation.state[0:7]': it runs from -0.359 to 1): "
        "say --map angle=rad|deg|percent"
    )


def test_a_gripper_in_an_unknown_column_is_asked_for_and_then_what_its_numbers_mean(tmp_path: Path) -> None:
    entries = [
        "position=S[0:3]",
        "rotation=S[3:7]",
        "action.position=action[0:3]",
        "action.rotation=action[3:7]",
    ]
    known = [entry.replace("S", "observation.state") for entry in entries]
    desk = Desk(tmp_path, SPECS["lerobot"], parse_answers([*known, "quaternion=xyzw", "length=m"]))
    sources.lerobot(desk.inbox / "set", "v2.1", episodes=1, names=[f"unit_{number}" for number in range(8)])
    assert [question.name for question in asked(desk)] == ["gripper", "action.gripper"]
    columns = parse_answers(["gripper=observation.state[7]", "action.gripper=action[7]"])
    desk.answers[""] |= columns
    assert [question.flag for question in asked(desk)] == [
        "--gripper CLOSED,OPEN",
        "--map action.range=CLOSED,OPEN",
    ]
    desk.answers[""] |= parse_answers(["gripper=0,1", "action.range=0,1"])
    (look,) = desk.looks(desk.inbox)
    assert look.finding.refused is None and look.outline is not None
    settled = {question.name: value for question, value in look.outline.settled.items()}
    assert settled["gripper"] == "observation.state[7:8]" and settled["action.range"] == "0,1"


def asked(desk: Desk) -> tuple[Question, ...]:
    (look,) = desk.looks(desk.inbox)
    assert look.outline is not None
    return look.outline.open


def test_a_frame_takes_poses_of_the_recorder_to_the_arms_base(tmp_path: Path) -> None:
    frame = np.eye(4)
    frame[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    frame[:3, 3] = 0.1, 0.2, 0.3
    file = tmp_path / "frame.txt"
    np.savetxt(file, frame)
    plain = Desk(tmp_path / "plain", SPECS["droid"])
    moved = Desk(tmp_path / "moved", SPECS["droid"], {"frame": str(file)})
    for desk in (plain, moved):
        sources.droid(desk.inbox)
    poses = []
    for desk in (plain, moved):
        (result,) = desk.run()
        poses.append(action_to_pose(desk.store.load(str(result.episode)).action, desk.spec.action))
    np.testing.assert_allclose(poses[1][0], poses[0][0] @ frame[:3, :3].T + frame[:3, 3], atol=1e-5)
    turned = Rotation.from_matrix(frame[:3, :3]) * Rotation.from_quat(poses[0][1])
    np.testing.assert_allclose((turned * Rotation.from_quat(poses[1][1]).inv()).magnitude(), 0, atol=1e-5)


def test_a_second_arm_may_stand_in_a_frame_of_its_own(tmp_path: Path) -> None:
    spec = SPECS["aloha"]
    both = replace(
        spec,
        proprioception=tuple(f"{side}_{name}" for side in ("left", "right") for name in spec.proprioception),
        action=replace(spec.action, arms=2),
    )
    positions = []
    for name, frames in (("both", {"frame": SHIFTED}), ("own", {"frame": SHIFTED, "arm2.frame": IDENTITY})):
        desk = Desk(tmp_path / name, both, BOTH_ARMS | parse_answers([f"{k}={v}" for k, v in frames.items()]))
        path = sources.aloha(desk.inbox / "episode_0.hdf5")
        with h5py.File(path, "r+") as file:
            for column in ("observations/qpos", "action"):
                one = file[column][()]
                del file[column]
                file[column] = np.concatenate([one, one], 1)
        (result,) = desk.run()
        episode = desk.store.load(str(result.episode))
        positions.append(
            [action_to_pose(part, spec.action)[0] for part in np.split(episode.action, 2, axis=1)]
        )
    (left, right), (own_left, own_right) = positions
    np.testing.assert_allclose(own_left, left)
    np.testing.assert_allclose(left, right)
    np.testing.assert_allclose(own_right, right - (0.1, 0, 0), atol=1e-6)


SHIFTED, IDENTITY = "1 0 0 0.1 0 1 0 0 0 0 1 0 0 0 0 1", "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"


def test_a_matrix_is_kept_as_its_numbers_when_its_file_goes(tmp_path: Path) -> None:
    file = tmp_path / "frame.txt"
    file.write_text(SHIFTED)
    answers = parse_answers([f"frame={file}", f"arm2.tool={file}"])
    file.unlink()
    mapping = Mapping().with_answers(answers)
    assert mapping.frame == mapping.arms[1].tool and mapping.frame is not None
    assert Mapping().with_answers(mapping.entries()) == mapping


def test_lengths_in_millimetres_and_angles_in_degrees_are_brought_to_metres_and_radians(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, SPECS["droid"], {"length": "mm", "angle": "deg"})
    folder = sources.droid(desk.inbox)
    with h5py.File(folder / "trajectory.h5", "r+") as file:
        for name in ("observation/robot_state/cartesian_position", "action/cartesian_position"):
            file[name][:, :3] *= 1000
            file[name][:, 3:] *= 180 / np.pi
        file["observation/robot_state/joint_positions"][...] *= 180 / np.pi
    (result,) = desk.run()
    episode = desk.store.load(str(result.episode))
    position, quaternion, _ = action_to_pose(episode.action, desk.spec.action)
    assert position[0] == pytest.approx([0.3, 0, 0.2], abs=0.01)
    assert abs(quaternion[0] @ sources.poses(np.zeros(1))[0, 3:]) == pytest.approx(1, abs=1e-3)
    assert episode.proprioception[0, 1] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("colour=rbg", "colour: it should be 'rgb' or 'bgr'"),
        ("color=rgb", "Did you mean 'colour'?"),
        ("rate=fast", "'fast' is no number"),
        ("rate=-3", "greater than 0"),
        ("camera.front", "is not NAME=VALUE"),
        ("gripper=1,1", "closed and open are the same"),
        ("frame=1 2 3", "a 4x4 matrix has 16"),
        ("frame=nowhere.txt", "frame: there is no file nowhere.txt; give 16 numbers row by row"),
        ("kinematics=nope", "kinematics: 'nope' is neither a known arm"),
        ("frame=2 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1", "no rigid transform"),
        ("arm3.position=x", "one or two arms"),
        ("action.representation=quat", "action.representation: it should be 'quaternion'"),
        ("arms.joints=q", "of every arm only these can be said: arms.range, arms.representation"),
        ("arm2.range=open", "arm2.range: 'open' is not a range; give two numbers"),
    ],
)
def test_a_wrong_entry_is_answered_with_what_would_be_right(entry: str, sentence: str) -> None:
    with pytest.raises(MappingError, match=sentence.replace("?", "\\?")):
        parse_answers([entry])


def test_entries_survive_a_round_trip_through_their_names() -> None:
    answers = parse_answers(
        [
            "camera.front=images/top", "joints=q[0:6]", "action.position=a[0:3]", "arm2.rotation=b[3:7]",
            "gripper=0,0.08", "rate=50", "colour=bgr", "actions=achieved", "kinematics=fr3",
        ]
    )  # fmt: skip
    mapping = Mapping().with_answers(answers)
    assert Mapping().with_answers(mapping.entries()) == mapping


def test_cameras_are_matched_by_name_and_never_by_position() -> None:
    assert matched_cameras(["front"], ["observation.images.top"]) == {"front": "observation.images.top"}
    assert matched_cameras(["wrist", "front"], ["cam_wrist", "observation.images.front"]) == {
        "wrist": "cam_wrist",
        "front": "observation.images.front",
    }
    assert matched_cameras(["third"], ["cam_high", "cam_low"]) == {}


def test_a_camera_that_cannot_be_matched_is_asked_for_with_what_there_is(tmp_path: Path) -> None:
    spec = replace(
        SPECS["aloha"], cameras=(*SPECS["aloha"].cameras, CameraSpec(name="wrist", height=8, width=8))
    )
    desk = Desk(tmp_path, spec, ANSWERS["aloha"])
    sources.aloha(desk.inbox / "episode_0.hdf5")
    (result,) = desk.run()
    assert "no camera 'wrist'; the recording has: cam_high: say --map camera.wrist=cam_high" in str(
        result.refused
    )


def test_names_of_numbers_say_what_they_are() -> None:
    names = ("left_x", "left_y", "left_z", "left_qw", "left_qx", "left_qy", "left_qz", "gripper")
    assert named_range(names, ("x", "y", "z")) == "[0:3]"
    assert named_range(names, ("qx", "qy", "qz", "qw")) is None
    assert named_range(names, ("qw", "qx", "qy", "qz")) == "[3:7]"
    assert joint_range(("shoulder_pan", "elbow_flex", "wrist_roll", "gripper")) == "[0:3]"
    assert joint_range(("joint_1", "gripper", "joint_2")) is None


def test_answers_are_asked_once_and_can_be_edited(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    sources.aloha(desk.inbox / "episode_0.hdf5")
    (look,) = desk.looks(desk.inbox)
    assert look.outline is not None
    path = tmp_path / "import.toml"
    structure = look.outline.structure
    save(path, {structure: look.outline}, {structure: ANSWERS["aloha"]})
    assert load(path) == {structure: ANSWERS["aloha"]}
    assert '"camera.front" = "cam_high"' in path.read_text()
    desk.answers = load(path)
    assert desk.looks(desk.inbox)[0].finding.refused is None
    path.write_text(path.read_text().replace('"rgb"', '"gbr"'))
    with pytest.raises(AnswersError, match="colour"):
        load(path)
