"""Undo takes back what the screen names, or the newest judgement, and nothing else: random presses against a model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, UpdateBegun
from station.session.core.effects import BeginRollout, BeginUpdate, EndMotion
from station.session.core.events import (
    Checkpointed,
    Event,
    EventSource,
    Go,
    Homed,
    Label,
    PreflightDone,
    Tick,
    UpdateDone,
)
from station.session.core.judging import shown_episode, undoable
from station.session.core.machine import begin, step
from station.session.core.state import Rules, State
from station.session.engine.pending_writes import PendingWrites
from station.session.engine.records import Records
from station.session.engine.resume import state_of
from station.session.snapshot import Phase, Snapshot
from station.tui.actions import BY_ID, NotNowError, Seen
from tests.station.session.core.test_machine import ended

RULES = Rules(grace=1.0)
KEYS = {"s": "success", "f": "failure", "u": "undo", "v": "void"}


@dataclass
class Model:
    """What a person believes: the label and the void of each episode that is over."""

    label: dict[str, str | None] = field(default_factory=dict)
    void: set[str] = field(default_factory=set)
    newest: str | None = None
    keyed: dict[str, str] = field(default_factory=dict)
    """Episodes that a key has ended and that are not in the store yet."""

    def press(self, key: str, shown: str | None, moving: bool) -> None:
        if shown is not None and moving:
            if key in "sfv":
                self.keyed[shown] = key
                return
            if key == "u" and shown in self.keyed:
                return
        if key == "u":
            self.undo(shown)
        elif shown is not None and not moving:
            self.judge(key, shown)

    def judge(self, key: str, name: str) -> None:
        if key == "v":
            self.void ^= {name}
        elif name in self.void:
            return
        else:
            self.label[name] = {"s": "success", "f": "failure", "t": "timeout"}[key]
        self.newest = name

    def undo(self, shown: str | None) -> None:
        for name in (shown, self.newest):
            if name in self.void:
                self.void.discard(name)
            elif name is not None and self.label.get(name):
                self.label[name] = None
            else:
                continue
            self.newest = name
            return

    def ended(self, name: str) -> None:
        self.label[name] = None
        self.newest = name
        self.judge(self.keyed.pop(name, "t"), name)


class Table:
    """A machine with a real journal, the screen's keys, and the model beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.model = Model()
        self.now = 0.0
        self.running: str | None = None
        self.ending = False
        """A key has ended the motion and the commit is under way."""
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.root / "journal.jsonl", writable=True)
        self.records = Records(self.journal, PendingWrites(), dict)
        updates = len(self.journal.ledger().lines_of(UpdateBegun))
        state = state_of(self.journal.ledger(), RULES, blocks_done=updates, policy_version=0, now=self.now)
        self.state: State = begin(state)[0]
        self.running, self.ending = None, False
        self.model.keyed.clear()

    def send(self, event: Event) -> None:
        self.state, orders = step(self.state, event)
        for order in orders:
            if self.records.carry_out(order):
                continue
            if isinstance(order, BeginRollout):
                self.running = order.slots[0].episode
            elif isinstance(order, EndMotion):
                self.ending = True
            elif isinstance(order, BeginUpdate):
                through = self.journal.last_seq
                self.journal.append(UpdateBegun(ordinal=order.ordinal, through=through, steps=0))

    def seen(self) -> Snapshot:
        name = shown_episode(self.state)
        verdict = self.state.verdicts.get(name or "")
        return Snapshot(
            number=1,
            session="s",
            task="t",
            phase=self.state.phase,
            instruction="",
            episode=name,
            label=verdict.outcome.value if verdict and verdict.outcome else None,
            void=verdict is not None and verdict.void,
            undo=undoable(self.state),
        )

    def press(self, key: str) -> None:
        shown = shown_episode(self.state)
        self.model.press(key, shown, moving=shown is not None and shown in self.state.running)
        intent = BY_ID[KEYS[key]].intent
        assert intent is not None
        try:
            event = intent(Seen(snapshot=self.seen()))
        except NotNowError:
            return
        self.send(event)

    def relabel_oldest(self) -> None:
        """Somebody looks back, as in the review screen."""
        name = next(iter(self.model.label), None)
        if name is not None and name not in self.state.running:
            self.send(Label(episode=name, outcome=Outcome.FAILURE, source=EventSource.REVIEW))
            self.model.judge("f", name)

    def work(self) -> None:
        self.now += 0.6
        match self.state.phase:
            case Phase.PREFLIGHT:
                self.send(PreflightDone())
            case Phase.HOMING:
                self.send(Homed())
            case Phase.READY:
                self.send(Go(answers=self.state.question))
            case Phase.ROLLOUT:
                self.end()
            case Phase.UPDATE:
                self.send(UpdateDone(policy_version=0))
            case Phase.CHECKPOINT:
                self.send(Checkpointed())
            case _:
                self.send(Tick(now=self.now))

    def end(self) -> None:
        assert self.running is not None
        name, self.running = self.running, None
        ending = Ending.OPERATOR if self.ending else Ending.EPISODE_LIMIT
        self.ending = False
        self.journal.append(
            EpisodeCommitted(
                id=name,
                kind=EpisodeKind.ONLINE,
                ordinal=int(name[-6:]),
                steps=8,
                chunks=2,
                ending=ending,
                policy_version=0,
            )
        )
        self.send(ended(name, ending))
        self.model.ended(name)

    def check(self) -> None:
        for name, label in self.model.label.items():
            verdict = self.state.verdicts[name]
            assert (verdict.outcome, verdict.void) == (label, name in self.model.void), name
        assert self.state.newest == self.model.newest


@given(
    st.lists(
        st.sampled_from([*"sfuv", *"uv", *"......", "restart", "review", "review"]), min_size=30, max_size=60
    )
)
@settings(max_examples=15)
def test_whatever_is_pressed_each_key_means_the_episode_of_the_screen(turns: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        table = at_the_label(Path(root))
        for turn in turns:
            if turn == "restart":
                table.open()
            elif turn == "review":
                table.relabel_oldest()
            elif turn == ".":
                table.work()
            else:
                table.press(turn)
            table.check()
        table.open()
        table.check()


def at_the_label(root: Path) -> Table:
    """The first episode is void, the second has just timed out."""
    table = Table(root)
    while not table.model.label:
        table.work()
    table.press("v")
    while len(table.model.label) < 2:
        table.work()
    assert table.seen().episode == "online-000001" and table.seen().label == "timeout"
    return table


def test_undo_after_a_void_and_a_timeout_takes_the_timeout_back(tmp_path: Path) -> None:
    table = at_the_label(tmp_path)
    table.press("u")
    assert table.state.verdicts["online-000000"].void
    assert table.state.verdicts["online-000001"].outcome is None


def test_undo_while_the_next_episode_moves_means_the_newest_line_about_one(tmp_path: Path) -> None:
    table = at_the_label(tmp_path)
    table.press("s")
    while table.state.phase is not Phase.ROLLOUT:
        table.work()
    table.press("u")
    assert table.state.verdicts["online-000001"].outcome is None
    table.press("u")
    assert table.state.verdicts["online-000000"].void, "nothing older is touched"


def test_undo_of_a_label_on_its_way_to_the_disk_takes_no_older_one_back(tmp_path: Path) -> None:
    table = at_the_label(tmp_path)
    table.press("s")
    while table.state.phase is not Phase.ROLLOUT:
        table.work()
    table.press("s")
    table.press("u")
    assert table.state.verdicts["online-000001"].outcome is Outcome.SUCCESS


def test_undo_after_a_restart_means_the_newest_line_about_one(tmp_path: Path) -> None:
    table = at_the_label(tmp_path)
    table.press("f")
    table.open()
    assert table.seen().undo == undoable(table.state) is not None
    table.press("u")
    assert table.state.verdicts["online-000001"].outcome is None
    assert table.state.verdicts["online-000000"].outcome is Outcome.TIMEOUT
