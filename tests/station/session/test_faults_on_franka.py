"""One session through the faults of a Franka and its hand: engine, cell, controller, the real franky, a simulated box.

What a session survives, and how that is seen, is the same as `test_faults_on_xarm`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.emulators.franka import FrankaEmulator
from tests.hardware.arms.franka_cells import NEEDS_FRANKY, TOOL, franka_table
from tests.hardware.arms.xarm_cell import video
from tests.station.session.surviving import OF_EVERY_ARM, Fault, Scene, survive
from tests.station.session.swaying import Sway

pytestmark = [pytest.mark.realtime, pytest.mark.slow, pytest.mark.timeout(300)]
pytest.importorskip("franky", reason=NEEDS_FRANKY)
pytest.importorskip("franky_sim", reason=NEEDS_FRANKY)

_STANDS = 0.3
"""s at rest, of the robot's own time; at a turning point it rests for an instant."""
_SAG = 1.0
"""mm that an arm may settle when the law that held it gives way to the box's own."""


@dataclass(frozen=True, kw_only=True)
class FrankaScene(Scene):
    """A session on a simulated Franka."""

    emulator: FrankaEmulator

    def order(self, name: str, **details: Any) -> None:
        self.emulator.order(name, **details)

    def stands(self) -> bool:
        return not self.emulator.lives or self.emulator.truth()["rested"] > _STANDS

    def position_mm(self) -> list[float]:
        if not self.emulator.lives:
            return []
        return [1000.0 * metres for metres in self.emulator.truth()["position"]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrankaScene]:
    folder = tmp_path_factory.mktemp("faults")
    film = str(video(folder / "film.avi"))
    camera = {"driver": "file", "name": "third", "path": film, "height": 48, "width": 64}
    with FrankaEmulator() as emulator:
        cell = franka_table(emulator, folder / "board", cameras=[camera])
        cell["safety"]["frame_age"] = 1.0
        cell["arms"][0]["name"] = cell["safety"]["workspaces"][0]["arm"] = "arm"
        with Sway(cell=cell, home=TOOL).engine(folder / "session") as engine:
            yield FrankaScene(engine=engine, emulator=emulator)


FAULTS: dict[str, Fault[FrankaScene]] = {
    "a reflex in the middle of a chunk": Fault(
        strike=lambda it: it.order("reflex", errors=["cartesian_reflex"]), said="cartesian_reflex"
    ),
    "the stop button is pressed and released": Fault(
        strike=lambda it: it.order("press_stop"),
        said="release the stop button",
        mend=lambda it: it.order("release_stop"),
        stays=True,
    ),
    "the arm is guided by hand": Fault(
        strike=lambda it: it.order("guide"), said="guid", mend=lambda it: it.order("let_go")
    ),
    "the control box loses its power": Fault(
        strike=lambda it: it.emulator.kill(),
        said="cable",
        mend=lambda it: it.emulator.start(),
        stays=True,
    ),
    "the control box hangs": Fault(
        strike=lambda it: it.emulator.freeze(),
        said="control box",
        mend=lambda it: it.emulator.freeze(on=False),
        stays=True,
    ),
    "the link falls silent": Fault(
        strike=lambda it: it.order("silence"),
        said="control box",
        mend=lambda it: it.order("silence", on=False),
    ),
    "the hand is lost": Fault(
        strike=lambda it: it.order("silence_hand"),
        said="the link to the hand is lost",
        mend=lambda it: it.order("silence_hand", on=False),
    ),
}


@pytest.mark.parametrize("fault", [*FAULTS.values(), *OF_EVERY_ARM.values()], ids=[*FAULTS, *OF_EVERY_ARM])
def test_a_session_survives(scene: FrankaScene, fault: Fault[FrankaScene]) -> None:
    survive(scene, fault, tolerance_mm=_SAG)
