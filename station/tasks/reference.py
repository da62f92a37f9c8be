"""What a task file may hold: every section, every driver, each setting with its unit, range and default.

Reads the settings classes only: no task, no device, no vendor's package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from datasets.settings import OneOf
from datasets.wording import did_you_mean
from hardware.cameras.settings import DeviceCameraSettings
from hardware.robot.settings import PlacementSettings, RobotCellSettings
from hardware.safety.filter import SafetySettings
from hardware.settings import ArmSettings, GripperSettings
from policy.steering.interface import SteeringSettings
from station.tasks.config import BESIDE_CELL, Task, TaskError
from station.tasks.settings_text import section_to_toml

_OF_SEVERAL_KINDS: Mapping[str, type[OneOf]] = {
    "[[arms]]": ArmSettings,
    "[arms.gripper]": GripperSettings,
    "[[cameras]]": DeviceCameraSettings,
    "[steering]": SteeringSettings,
}
_OF_A_CELL: Mapping[str, type[BaseModel]] = {
    "[cell]": RobotCellSettings,
    "[safety]": SafetySettings,
    "[[placements]]": PlacementSettings,
}


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a task file, as one kind of it has it."""

    name: str
    """How it is asked for: the driver's or method's name, or the section's where it need not say which."""
    header: str
    """Its header in the file, in brackets."""
    model: type[BaseModel]

    @property
    def text(self) -> str:
        """Every setting as written in a file, explained."""
        return section_to_toml(self.model, self.header, BESIDE_CELL.names if self.name == "cell" else ())


def sections() -> list[Section]:
    """All sections: a cell of real devices first, then what every task has."""
    found = [Section(name=_bare(header), header=header, model=model) for header, model in _OF_A_CELL.items()]
    for header, base in _OF_SEVERAL_KINDS.items():
        for kind in base.kinds:
            name = _bare(header) if kind == base.usual else kind
            found.append(Section(name=name, header=header, model=base.reader({base.chooser: kind})))
    for name, field in Task.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel) and not issubclass(model, OneOf):
            found.append(Section(name=name, header=f"[{name}]", model=model))
    return found


def section(name: str) -> Section:
    """One of them by its name, with brackets or without. Raises TaskError with the nearest."""
    known = {section.name: section for section in sections()}
    wanted = _bare(name)
    if wanted in known:
        return known[wanted]
    hint = did_you_mean(wanted, known, alike=0.4)
    raise TaskError(
        f"There is no section and no driver '{name}'.", remedy=f"{hint} Known: {', '.join(known)}.".strip()
    )


def _bare(header: str) -> str:
    return header.strip("[]")
