"""The extension API: the record of its signatures, what its modules load, and what the changelog says of it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import station.testing
from station.extending import surface
from station.extending.surface import MODULES, RECORD, digest

ROOT = Path(__file__).parents[3]
INTERFACES = {
    "methods": ("Steering",),
    "devices": ("Cell", "Arm", "Gripper", "Camera"),
    "formats": ("Format", "Exporter"),
}


def loaded_after(module: str) -> set[str]:
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=240
    )
    return set(done.stdout.split())


def test_the_extension_api_is_as_recorded() -> None:
    """It changed? If that was meant: `python -m station.extending`, and a line of CHANGELOG.md with the digest."""
    now, agreed = surface.surface().splitlines(), RECORD.read_text(encoding="utf-8").splitlines()
    gone, new = sorted(set(agreed) - set(now)), sorted(set(now) - set(agreed))
    assert not gone, f"promised, and gone or changed: {gone}"
    assert not new and now == agreed, f"not recorded: {new}"


def test_the_changelog_names_the_recorded_api() -> None:
    assert f"`{digest()}`" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("change", ["an argument", "a field", "an abstract method"])
def test_a_changed_signature_is_seen(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    from hardware.arms.interface import Arm
    from hardware.cameras.interface import Frame

    def servo(self: Arm, command: object, *, urgent: bool) -> None: ...

    if change == "an argument":
        monkeypatch.setattr(Arm, "servo", servo)
    elif change == "a field":
        monkeypatch.setitem(Frame.__annotations__, "exposure", "float")
    else:
        monkeypatch.setattr(Arm.recover, "__isabstractmethod__", False)
    assert surface.surface() != RECORD.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", MODULES)
def test_every_interface_is_public_and_lists_are_sorted(module: str) -> None:
    public = import_module(f"station.extending.{module}")
    assert set(INTERFACES[module]) <= set(public.__all__)
    assert public.__all__ == sorted(public.__all__) and len(set(public.__all__)) == len(public.__all__)


def test_every_interface_has_its_check() -> None:
    checks = {f"check_{name.lower()}" for names in INTERFACES.values() for name in names}
    assert checks <= set(station.testing.__all__)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        ("station.extending.devices", {"torch", "policy", "textual", "mujoco"}),
        ("station.extending.formats", {"torch", "policy", "hardware", "textual", "mujoco"}),
        ("station.extending.methods", {"hardware", "textual", "mujoco"}),
        ("station.testing", {"torch", "pytest", "textual"}),
    ],
)
def test_an_extension_loads_only_its_own_floor(module: str, strangers: set[str]) -> None:
    assert not strangers & loaded_after(module)
