"""The limits of a real cell, setting by setting: in which direction each is stricter, and how to change one.

`STRICTER` alone defines this. Limits are named as in a task file, list items by their arm: ``safety.velocity``,
``safety.workspaces.left.upper``, ``arms.left.home``. Pure; writes no journals or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel, ValidationError

from datasets.errors import ExitCode, StationError
from datasets.wording import did_you_mean
from hardware.robot.settings import RobotCellSettings

Value = float | str | tuple[float, ...] | None
"""As in a task file; None: not set."""


class Stricter(Enum):
    """The direction in which a setting gives the arms less freedom."""

    SMALLER = "smaller"
    LARGER = "larger"
    NEITHER = "neither way"
    """Neither stricter nor looser: any change needs explicit confirmation."""


_SMALLER, _LARGER, _NEITHER = Stricter.SMALLER, Stricter.LARGER, Stricter.NEITHER
STRICTER: Mapping[str, Mapping[str, Stricter]] = {
    "": {
        "suspended_after": _SMALLER,
        "tracking_error": _SMALLER,
        "park_after": _SMALLER,
        "home_opening": _NEITHER,
    },
    "safety": {
        "velocity": _SMALLER,
        "acceleration": _SMALLER,
        "jerk": _SMALLER,
        "rotation_rate": _SMALLER,
        "rotation_acceleration": _SMALLER,
        "gripper_rate": _SMALLER,
        "radius": _LARGER,
        "inward_speed": _SMALLER,
        "stale_plan": _SMALLER,
        "heartbeat": _SMALLER,
        "frame_age": _SMALLER,
        "home_tolerance": _SMALLER,
        "mean_of_poses": _NEITHER,
    },
    "safety.workspaces": {"lower": _LARGER, "upper": _SMALLER},
    "arms": {
        "home": _NEITHER,
        "base_position": _NEITHER,
        "base_rotation": _NEITHER,
        "boundary_lower": _LARGER,
        "boundary_upper": _SMALLER,
        "collision_sensitivity": _LARGER,
        "load_mass": _NEITHER,
        "reduced_tcp_speed": _SMALLER,
        "home_speed": _SMALLER,
        "home_acceleration": _SMALLER,
        "home_tolerance": _SMALLER,
        "home_dynamics": _SMALLER,
        "translational_stiffness": _SMALLER,
        "rotational_stiffness": _SMALLER,
        "translational_error_clip": _SMALLER,
        "rotational_error_clip": _SMALLER,
        "max_torque_step": _SMALLER,
        "torque_threshold": _SMALLER,
        "force_threshold": _SMALLER,
        "stale_stop": _SMALLER,
        "report_age": _SMALLER,
        "report_timeout": _SMALLER,
        "reply_timeout": _SMALLER,
    },
}
"""Section -> setting -> stricter direction; every setting listed here is a limit."""


class LimitError(StationError, ValueError):
    """An unknown limit, or an invalid value; the message gives the remedy."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit of one cell."""

    name: str
    value: Value
    stricter: Stricter

    def loosened_by(self, value: Value) -> bool:
        """Whether `value` gives the arms more freedom, or may do so."""
        if value == self.value:
            return False
        if self.stricter is Stricter.NEITHER or value is None:
            return True
        if self.value is None:
            return False
        before, after = _numbers(self.value), _numbers(value)
        if len(before) != len(after):
            return True
        pairs = zip(before, after, strict=True)
        smaller = self.stricter is Stricter.SMALLER
        return any(new > old if smaller else new < old for old, new in pairs)


def limits_of(cell: RobotCellSettings) -> dict[str, Limit]:
    """All limits of a cell by name, in the order of the table."""
    found: dict[str, Limit] = {}
    for section, settings in STRICTER.items():
        for path, group in _groups(cell, section):
            for name, stricter in settings.items():
                if name in type(group).model_fields:
                    full = f"{path}.{name}".lstrip(".")
                    found[full] = Limit(name=full, value=_plain(getattr(group, name)), stricter=stricter)
    return found


def find(cell: RobotCellSettings, name: str) -> Limit:
    """A limit by its name, or by an unambiguous ending of it. Raises LimitError."""
    known = limits_of(cell)
    if name in known:
        return known[name]
    ends = [full for full in known if full.endswith(f".{name}")]
    if len(ends) == 1:
        return known[ends[0]]
    if ends:
        raise LimitError(f"'{name}' may be {' or '.join(ends)}. Say which.")
    names = [*known, *(full.rpartition(".")[2] for full in known)]
    hint = did_you_mean(name, names, f"Limits are: {', '.join(known)}.")
    raise LimitError(f"There is no limit '{name}'.", remedy=hint)


def changed(cell: RobotCellSettings, values: Mapping[str, Value]) -> RobotCellSettings:
    """The cell with changed limits. Raises LimitError: a limit does not exist, or a value is invalid."""
    if not values:
        return cell
    content = cell.model_dump(serialize_as_any=True)
    for name, value in values.items():
        *path, setting = find(cell, name).name.split(".")
        _inside(content, path)[setting] = value
    try:
        return type(cell).model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why = first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
        raise LimitError(f"{', '.join(values)} = {_written(next(iter(values.values())))}: {why}.") from error


def written(value: Value) -> str:
    """As in a task file."""
    return "not set" if value is None else _written(value)


def _groups(cell: BaseModel, section: str) -> Iterator[tuple[str, BaseModel]]:
    """Name and settings of a section, or of each of its items."""
    found: Any = cell
    for part in filter(None, section.split(".")):
        found = getattr(found, part)
    if not isinstance(found, tuple):
        yield section, found
        return
    for item in found:
        yield f"{section}.{_item_name(item)}", item


def _item_name(item: object) -> str:
    """Arms are identified by their name, workspaces by their arm."""
    return str(getattr(item, "arm", None) or getattr(item, "name", ""))


def _inside(content: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(content, Mapping):
            content = content[part]
        else:
            content = next(item for item in content if part in (item.get("arm"), item.get("name")))
    return content


def _plain(value: Any) -> Value:
    return tuple(float(number) for number in value) if isinstance(value, (tuple, list)) else value


def _numbers(value: Value) -> tuple[float, ...]:
    if isinstance(value, tuple):
        return value
    return () if value is None or isinstance(value, str) else (float(value),)


def _written(value: Value) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(f'{number:g}' for number in value)}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
