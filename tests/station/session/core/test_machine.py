"""The session's state machine, told step by step and then by random presses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.records import EvaluationAsked, FaultRaised, Labelled, Rearmed, Record, Restored, Voided
from hardware.cell import ClockSpeed
from station.session.core.effects import (
    AbortMotion,
    ApplySpeed,
    BeginHoming,
    BeginRollout,
    BeginUpdate,
    Brake,
    CloseEvaluation,
    Effect,
    EndMotion,
    OpenEvaluation,
    Quit,
    RearmLatch,
    RecoverDevices,
    Refuse,
    ResumeMotion,
    RunPreflight,
    SaveCheckpoint,
    Say,
    ShowLayouts,
    Write,
)
from station.session.core.events import (
    Checkpointed,
    CutOff,
    DiskFull,
    EvaluateNow,
    Event,
    EventSource,
    Faulted,
    Go,
    Homed,
    Label,
    Leave,
    MotionEnded,
    Note,
    OperatorEvent,
    Pause,
    PreflightDone,
    Rearm,
    Restore,
    Resume,
    SetAutopilot,
    SetSpeed,
    SpaceBack,
    Stop,
    Tick,
    UndoLabel,
    UpdateDone,
    Void,
)
from station.session.core.machine import begin, starts, step
from station.session.core.state import Rules, State, Verdicts
from station.session.snapshot import Phase
from tests.station.session.answering import answering, go, rearm, resume

FIRST = "online-000000"
SECOND = "online-000001"
MOTION = (BeginHoming, BeginRollout, ResumeMotion)


@dataclass
class Session:
    """A machine and everything it has ordered."""

    state: State
    effects: list[Effect] = field(default_factory=list)
    labels: dict[str, Outcome | None] = field(default_factory=dict)

    @classmethod
    def fresh(cls, **rules: Any) -> Session:
        session = cls(State())
        session.state, effects = begin(State(rules=Rules(**{"grace": 2.0, **rules})))
        session.effects += effects
        return session

    def send(self, *events: Event) -> list[Effect]:
        """The orders that follow from these events."""
        ordered: list[Effect] = []
        for event in events:
            self.state, effects = step(self.state, answering(event, self.state))
            ordered += effects
        self.effects += ordered
        return ordered

    @property
    def phase(self) -> Phase:
        return self.state.phase


def kinds(effects: list[Effect]) -> list[type[Effect | Record]]:
    return [type(effect.record) if isinstance(effect, Write) else type(effect) for effect in effects]


def labelled(effects: list[Effect]) -> list[Labelled]:
    records = [effect.record for effect in effects if isinstance(effect, Write)]
    return [record for record in records if isinstance(record, Labelled)]


def ready(**rules: Any) -> Session:
    session = Session.fresh(**rules)
    session.send(PreflightDone(), Homed())
    return session


def rolling(**rules: Any) -> Session:
    session = ready(**rules)
    session.send(go())
    return session


def ended(episode: str, ending: Ending = Ending.EPISODE_LIMIT, **facts: Any) -> MotionEnded:
    kind = EpisodeKind.EVALUATION if episode.startswith("eval") else EpisodeKind.ONLINE
    return MotionEnded(episode=episode, kind=kind, ending=ending, steps=8, chunks=2, **facts)


def learning(**rules: Any) -> Session:
    session = rolling(**rules)
    session.send(ended(FIRST), Tick(now=3.0))
    return session


# --- one round ----------------------------------------------------------------------------------------------------


def test_a_round_goes_from_preflight_to_the_next_layout() -> None:
    session = Session.fresh()
    assert kinds(session.effects) == [RunPreflight]
    assert BeginHoming in kinds(session.send(PreflightDone()))
    assert kinds(session.send(Homed())) == [ShowLayouts]
    assert kinds(session.send(go())) == [BeginRollout]
    assert session.phase is Phase.ROLLOUT
    session.send(ended(FIRST, Ending.SUCCESS))
    assert session.phase is Phase.LABEL
    session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS))
    assert kinds(session.send(Tick(now=2.5))) == [BeginUpdate]
    assert kinds(session.send(UpdateDone(policy_version=1))) == [SaveCheckpoint]
    session.send(Checkpointed())
    assert session.phase is Phase.HOMING
    assert session.state.next_slots[0].episode == SECOND


def test_a_failed_preflight_is_a_fault_that_go_tries_again() -> None:
    session = Session.fresh()
    session.send(PreflightDone(problems=("camera third: no frames.",)))
    assert session.phase is Phase.FAULT
    assert "camera third" in session.state.reason
    assert kinds(session.send(go())) == [RecoverDevices, RunPreflight]


def test_a_key_ends_the_motion_and_labels_once_the_episode_is_safe() -> None:
    session = rolling()
    assert kinds(session.send(Label(episode=FIRST, outcome=Outcome.FAILURE))) == [EndMotion]
    assert session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS)) == []
    labels = session.send(ended(FIRST, Ending.OPERATOR))
    assert [(record.episode, record.outcome) for record in labelled(labels)] == [(FIRST, Outcome.SUCCESS)]


def test_a_label_for_an_unknown_episode_changes_nothing_and_says_so() -> None:
    session = rolling()
    before = session.state
    assert kinds(session.send(Label(episode="online-000099", outcome=Outcome.SUCCESS))) == [Refuse]
    assert session.state == before


def test_the_episode_limit_is_a_timeout_that_the_grace_time_can_turn_into_a_success() -> None:
    session = rolling()
    labels = session.send(ended(FIRST))
    assert [record.outcome for record in labelled(labels)] == [Outcome.TIMEOUT]
    session.send(Tick(now=1.0), Label(episode=FIRST, outcome=Outcome.SUCCESS))
    assert session.phase is Phase.LABEL
    assert session.send(Tick(now=2.9)) == []
    assert kinds(session.send(Tick(now=3.1))) == [BeginUpdate]
    assert session.state.verdicts[FIRST].outcome is Outcome.SUCCESS


def test_undo_in_the_grace_time_waits_for_a_new_label() -> None:
    session = rolling()
    session.send(ended(FIRST), UndoLabel(episode=FIRST), Tick(now=100.0))
    assert session.phase is Phase.LABEL
    session.send(Label(episode=FIRST, outcome=Outcome.FAILURE), Tick(now=103.0))
    assert session.phase is Phase.UPDATE


def test_no_update_begins_while_an_older_label_is_open() -> None:
    session = learning()
    session.send(UpdateDone(policy_version=1), Checkpointed(), UndoLabel(episode=FIRST), Homed(), go())
    session.send(ended(SECOND), Tick(now=60.0))
    assert session.phase is Phase.LABEL
    session.send(Label(episode=FIRST, outcome=Outcome.FAILURE), Tick(now=60.1))
    assert session.phase is Phase.UPDATE


def test_a_relabel_is_journaled_in_any_phase() -> None:
    session = learning()
    orders = session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS))
    assert kinds(orders) == [Labelled]
    assert session.phase is Phase.UPDATE


def test_void_and_restore_are_journaled_and_a_void_episode_takes_no_label() -> None:
    session = learning()
    assert kinds(session.send(Void(episode=FIRST))) == [Voided]
    assert kinds(session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS))) == [Refuse]
    assert kinds(session.send(Restore(episode=FIRST))) == [Restored]
    assert session.state.verdicts[FIRST].outcome is Outcome.TIMEOUT


def test_void_while_the_arm_moves_ends_the_motion() -> None:
    session = rolling()
    assert kinds(session.send(Void(episode=FIRST))) == [EndMotion]
    assert Voided in kinds(session.send(ended(FIRST, Ending.OPERATOR)))
    assert session.phase is Phase.UPDATE


def test_several_cells_are_labelled_together_and_learnt_from_once() -> None:
    session = rolling(cells=2)
    session.send(ended(SECOND))
    assert session.phase is Phase.ROLLOUT
    session.send(ended(FIRST), Tick(now=5.0))
    assert session.phase is Phase.UPDATE
    assert session.state.updates_begun == 1


# --- pause, stop, fault -------------------------------------------------------------------------------------------


def test_pause_brakes_and_its_end_goes_on() -> None:
    session = rolling()
    assert kinds(session.send(Pause())) == [Brake]
    assert session.phase is Phase.PAUSED
    assert kinds(session.send(resume())) == [ResumeMotion]
    assert session.phase is Phase.ROLLOUT


def test_a_label_while_paused_keeps_the_arm_still_until_the_operator_goes_on() -> None:
    session = rolling()
    session.send(Pause(), Label(episode=FIRST, outcome=Outcome.SUCCESS), ended(FIRST, Ending.OPERATOR))
    assert session.phase is Phase.PAUSED
    session.send(resume())
    assert session.phase is Phase.LABEL


def test_homing_that_was_paused_begins_again() -> None:
    session = Session.fresh()
    session.send(PreflightDone(), Pause())
    assert kinds(session.send(resume())) == [BeginHoming]


def test_stop_cuts_the_episode_off_and_only_rearm_and_go_lead_back() -> None:
    session = rolling()
    assert {Brake, AbortMotion} <= set(kinds(session.send(Stop())))
    assert kinds(session.send(CutOff(episode=FIRST, steps=7))) == [Say]
    assert not session.state.running and not session.state.verdicts
    assert kinds(session.send(go())) == [Refuse]
    assert kinds(session.send(rearm())) == [RearmLatch, Rearmed]
    assert session.phase is Phase.FAULT and session.state.rearmed
    assert kinds(session.send(go())) == [RecoverDevices, RunPreflight]
    assert not session.state.rearmed


def test_what_fails_after_the_stop_is_released_makes_it_a_fault_again() -> None:
    session = rolling()
    session.send(Stop(), rearm())
    session.send(Faulted(reason="arm left: collision."))
    assert not session.state.rearmed and "collision" in session.state.reason


def test_stop_during_an_update_goes_on_with_the_same_block() -> None:
    session = learning()
    session.send(Stop(), rearm(), go())
    orders = session.send(PreflightDone())
    assert [e.ordinal for e in orders if isinstance(e, BeginUpdate)] == [0]
    assert session.state.updates_begun == 1


def test_a_fault_names_its_reason_and_what_it_cut_off_is_neither_judged_nor_learnt_from() -> None:
    session = rolling()
    session.send(Faulted(reason="Camera wrist has no new frame."))
    session.send(CutOff(episode=FIRST, steps=7))
    assert session.phase is Phase.FAULT
    assert session.state.reason == "Camera wrist has no new frame."
    (said,) = session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS))
    assert isinstance(said, Refuse) and "was cut off" in said.text
    assert BeginHoming in kinds(session.send(go(), PreflightDone()))
    assert session.state.updates_begun == 0


def test_an_episode_that_was_cut_off_keeps_its_name_to_itself() -> None:
    session = rolling()
    session.send(Faulted(reason="A fault."), CutOff(episode=FIRST, steps=7), go(), PreflightDone())
    assert session.state.last is None
    assert [slot.episode for slot in session.state.next_slots] == [SECOND]


def test_an_episode_that_never_began_is_not_named_for_labels() -> None:
    session = rolling()
    session.send(Faulted(reason="Camera third has no new frame."))
    assert session.state.last is None
    (said,) = session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS))
    assert isinstance(said, Refuse) and "no episode" in said.text


def test_a_fault_that_cannot_be_left_is_not_left() -> None:
    session = learning()
    session.send(Faulted(reason="The journal and the learner disagree.", recoverable=False))
    assert kinds(session.send(go())) == [Refuse]


def test_a_full_disk_pauses_and_space_goes_on_by_itself() -> None:
    session = rolling()
    session.send(DiskFull(reason="The disk is full."))
    assert session.phase is Phase.PAUSED
    assert kinds(session.send(resume())) == [Refuse]
    session.send(ended(FIRST), SpaceBack(), Tick(now=9.0))
    assert session.phase is Phase.UPDATE


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("homing", [True, False])
@pytest.mark.parametrize("source", [EventSource.OPERATOR, EventSource.SYSTEM])
def test_space_on_the_disk_does_not_end_a_pause_that_somebody_asked_for(
    source: EventSource, homing: bool, simulated: bool
) -> None:
    session = Session.fresh(simulated=simulated) if homing else rolling(simulated=simulated)
    session.send(PreflightDone())
    session.send(Pause(source=source), DiskFull(reason="The disk is full."))
    assert session.send(SpaceBack(), Tick(now=9.0)) == []
    assert session.phase is Phase.PAUSED and "Space is back" in session.state.reason
    assert kinds(session.send(resume())) == [BeginHoming if homing else ResumeMotion]
    session.send(DiskFull(reason="The disk is full."))
    assert bool(session.send(SpaceBack())) == simulated, "the pause before is over"


@pytest.mark.parametrize("held", [Phase.HOMING, Phase.ROLLOUT, Phase.UPDATE])
def test_space_on_the_disk_never_moves_a_real_arm(held: Phase) -> None:
    session = Session.fresh(simulated=False) if held is Phase.HOMING else rolling(simulated=False)
    session.send(PreflightDone())
    if held is Phase.UPDATE:
        session.send(ended(FIRST), Tick(now=3.0), Homed())
    assert session.phase is held
    session.send(DiskFull(reason="The disk is full."))
    assert session.send(SpaceBack(), Tick(now=9.0)) == []
    assert session.phase is Phase.PAUSED and not session.state.disk_full
    session.send(resume())
    assert session.phase is held and session.state.reason == ""


def test_a_real_arm_goes_home_before_it_learns_and_not_by_itself_afterwards() -> None:
    session = rolling(simulated=False)
    assert kinds(session.send(ended(FIRST, Ending.SUCCESS))) == []
    home = session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS), Tick(now=2.5))
    assert [order.slots[0].episode for order in home if isinstance(order, BeginHoming)] == [FIRST]
    assert kinds(session.send(Pause(), resume())) == [Brake, BeginHoming], "interrupted, then continued"
    assert kinds(session.send(Homed())) == [BeginUpdate]
    after = session.send(UpdateDone(policy_version=1), Checkpointed())
    assert session.phase is Phase.READY and not {*MOTION} & {*kinds(after)}
    assert kinds(session.send(go())) == [BeginRollout]
    session.send(ended(SECOND, Ending.SUCCESS), Label(episode=SECOND, outcome=Outcome.SUCCESS))
    assert kinds(session.send(Tick(now=5.0)))[-1] is BeginHoming, "it has moved since"


def test_a_real_arm_whose_engine_was_killed_while_it_learnt_goes_home_first() -> None:
    session = rolling(simulated=False)
    session.send(ended(FIRST), Tick(now=3.0), Homed())
    assert session.phase is Phase.UPDATE
    session.state, _ = begin(replace(session.state, home=True))
    assert kinds(session.send(PreflightDone())) == [BeginHoming]
    assert kinds(session.send(Homed())) == [BeginUpdate]


@pytest.mark.parametrize("phase", [Phase.READY, Phase.UPDATE])
def test_a_real_arm_goes_home_after_a_fault_wherever_it_stood_before(phase: Phase) -> None:
    session = rolling(simulated=False)
    session.send(ended(FIRST), Tick(now=3.0), Homed())
    if phase is Phase.READY:
        session.send(UpdateDone(policy_version=1), Checkpointed())
    assert session.phase is phase
    session.send(Faulted(reason="left is not at home: somebody has moved it."), go())
    assert kinds(session.send(PreflightDone())) == [BeginHoming]


def test_a_pause_because_nobody_looks_says_so() -> None:
    session = rolling()
    session.send(Pause(source=EventSource.SYSTEM))
    assert "nobody was looking at a screen" in session.state.reason


def test_leaving_is_refused_while_an_episode_waits_for_the_disk() -> None:
    session = rolling()
    session.send(DiskFull(reason="The disk is full."))
    assert kinds(session.send(Leave())) == [Refuse]
    session.send(ended(FIRST), SpaceBack())
    assert Quit in kinds(session.send(Leave()))


# --- evaluation and goals -----------------------------------------------------------------------------------------


def test_an_evaluation_comes_every_so_many_episodes_on_the_same_layouts() -> None:
    session = learning(evaluation_every=1, evaluation_episodes=2)
    session.send(UpdateDone(policy_version=1))
    orders = session.send(Checkpointed())
    assert OpenEvaluation in kinds(orders)
    session.send(Homed(), go())
    assert session.phase is Phase.EVALUATE
    session.send(ended("evaluation-000000"), Tick(now=10.0), Homed())
    assert [slot.layout for slot in session.state.next_slots] == [1]
    session.send(go(), ended("evaluation-000001"))
    orders = session.send(Tick(now=20.0))
    assert CloseEvaluation in kinds(orders) and BeginUpdate not in kinds(orders)
    assert session.state.next_slots[0].episode == SECOND


def test_an_evaluation_that_was_asked_for_comes_after_the_round() -> None:
    session = rolling()
    assert kinds(session.send(EvaluateNow(episodes=1))) == [EvaluationAsked, Say]
    session.send(ended(FIRST), Tick(now=3.0), UpdateDone(policy_version=1), Checkpointed())
    assert session.state.block is not None and session.state.block.n == 1
    assert kinds(session.send(EvaluateNow())) == [Refuse]


def test_the_goal_leads_to_the_final_evaluation_and_then_to_the_end() -> None:
    session = learning(episodes=1, final_evaluation_episodes=1)
    session.send(UpdateDone(policy_version=1), Checkpointed(), Homed(), go())
    session.send(ended("evaluation-000000"), Tick(now=10.0))
    assert session.phase is Phase.FINISHED
    assert session.state.block is None


def test_a_void_episode_does_not_count_towards_the_goal() -> None:
    session = rolling(episodes=1)
    session.send(
        Void(episode=FIRST), ended(FIRST, Ending.OPERATOR), UpdateDone(policy_version=0), Checkpointed()
    )
    assert session.phase is Phase.HOMING


def test_the_last_round_is_no_larger_than_the_goal() -> None:
    session = ready(episodes=3, cells=2)
    session.send(
        go(), ended(FIRST), ended(SECOND), Tick(now=9.0), UpdateDone(policy_version=1), Checkpointed()
    )
    assert len(session.state.next_slots) == 1
    assert session.state.round is not None and session.state.round.batch == 2


def test_go_after_the_goal_goes_on_without_one() -> None:
    session = learning(episodes=1)
    session.send(UpdateDone(policy_version=1), Checkpointed())
    assert session.phase is Phase.FINISHED
    session.send(go(), PreflightDone())
    assert session.phase is Phase.HOMING


# --- switches -----------------------------------------------------------------------------------------------------


def test_the_clock_changes_between_episodes_only() -> None:
    session = rolling()
    assert ApplySpeed not in kinds(session.send(SetSpeed(speed=ClockSpeed.VIRTUAL)))
    session.send(ended(FIRST), Tick(now=9.0), UpdateDone(policy_version=1))
    assert ApplySpeed in kinds(session.send(Checkpointed()))


def test_the_automatic_operator_gets_no_grace_and_no_real_robot() -> None:
    session = rolling()
    session.send(SetAutopilot(on=True), ended(FIRST, truth=Outcome.TIMEOUT))
    assert session.state.pending == (FIRST,)
    session.send(Label(episode=FIRST, outcome=Outcome.TIMEOUT))
    assert session.phase is Phase.UPDATE
    real = ready(simulated=False)
    assert kinds(real.send(SetAutopilot(on=True))) == [Refuse]
    assert not real.state.autopilot


# --- a press answers what was on the screen ------------------------------------------------------------------------


def paused() -> Session:
    session = rolling(simulated=False)
    session.send(Pause())
    return session


def faulty() -> Session:
    session = ready(simulated=False)
    session.send(Faulted(reason="Collision (C31)."))
    return session


def stopped() -> Session:
    session = ready(simulated=False)
    session.send(Stop())
    return session


ANSWERS: dict[str, tuple[Callable[[], Session], Callable[..., OperatorEvent]]] = {
    "READY": (lambda: ready(simulated=False), Go),
    "a fault": (faulty, Go),
    "a pause": (paused, Resume),
    "a stop": (stopped, Rearm),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_a_key_that_answers_another_screen_starts_and_clears_nothing(what: str) -> None:
    made, event = ANSWERS[what]
    session = made()
    before = session.state
    for other in (before.question - 1, before.question + 1, 0):
        (refusal,) = session.send(event(answers=other))
        assert isinstance(refusal, Refuse) and "press again" in refusal.text
    assert session.state == before
    assert Refuse not in kinds(session.send(event(answers=before.question)))
    assert session.state != before


def test_the_key_that_began_an_episode_does_not_clear_the_fault_that_came_up_instead() -> None:
    session = ready(simulated=False)
    question = session.state.question
    session.send(Go(answers=question), Faulted(reason="Collision (C31)."), CutOff(episode=FIRST, steps=0))
    assert kinds(session.send(Go(answers=question))) == [Refuse]
    assert session.phase is Phase.FAULT and session.state.reason == "Collision (C31)."


def test_a_brake_that_arrives_after_the_session_paused_by_itself_starts_nothing() -> None:
    session = rolling(simulated=False)
    session.send(Pause(source=EventSource.SYSTEM))
    before = session.state
    (refusal,) = session.send(Pause())
    assert isinstance(refusal, Refuse) and "Paused already" in refusal.text
    assert session.state == before


def test_a_brake_while_the_disk_is_full_makes_the_pause_last_until_somebody_ends_it() -> None:
    session = rolling()
    session.send(DiskFull(reason="The disk is full."), Pause())
    assert session.send(SpaceBack(), Tick(now=9.0)) == []
    assert session.phase is Phase.PAUSED


def test_every_ready_and_every_pause_is_another_question() -> None:
    session = ready()
    asked = [session.state.question]
    for _ in range(3):
        session.send(go(), Pause())
        asked.append(session.state.question)
        session.send(resume(), Pause())
        asked.append(session.state.question)
        session.send(resume(), ended(session.state.last or ""), Tick(now=session.state.now + 9.0))
        session.send(UpdateDone(policy_version=1), Checkpointed(), Homed())
        assert session.phase is Phase.READY
        asked.append(session.state.question)
    assert len(set(asked)) == len(asked)


def test_saving_can_be_paused_too_since_motion_may_follow() -> None:
    session = learning()
    session.send(UpdateDone(policy_version=1))
    assert session.phase is Phase.CHECKPOINT
    session.send(Pause())
    assert session.phase is Phase.PAUSED
    assert session.send(Checkpointed()) == []
    session.send(resume())
    assert session.phase is Phase.CHECKPOINT


@pytest.mark.parametrize("simulated", [True, False])
def test_a_finished_session_whose_arm_is_real_is_set_in_motion_only_by_who_sees_it(simulated: bool) -> None:
    session = ready(simulated=simulated)
    session.state = replace(session.state, phase=Phase.FINISHED, reason="The goal is reached.")
    command = EvaluateNow(episodes=1, source=EventSource.COMMAND)
    orders, finished = kinds(Session(session.state).send(command)), session.state
    assert (RunPreflight in orders) == simulated and (Refuse in orders) != simulated
    assert kinds(Session(finished).send(EvaluateNow(answers=finished.question + 1))) == [Refuse]
    assert RunPreflight in kinds(session.send(EvaluateNow(answers=finished.question)))


def test_what_may_start_an_arm_or_clear_something_must_be_young() -> None:
    label = Label(episode=FIRST, outcome=Outcome.SUCCESS)
    judging = replace(ready(simulated=False).state, phase=Phase.LABEL)
    for event in (Go(answers=0), Resume(answers=0), Rearm(answers=0), label, Void(episode=FIRST)):
        assert starts(judging, event)
    for braking in (Pause(), Stop(), Leave(), Note(text="hm"), UndoLabel(episode=FIRST)):
        assert not starts(judging, braking)
    assert not starts(rolling(simulated=False).state, label), "it ends the motion"
    assert not starts(replace(judging, rules=Rules()), label), "nobody is near a simulated arm"
    assert starts(replace(judging, phase=Phase.FINISHED), EvaluateNow()) and not starts(
        judging, EvaluateNow()
    )


# --- random presses -----------------------------------------------------------------------------------------------

NAMES = st.sampled_from([FIRST, SECOND, "online-000002", "evaluation-000000", "online-000042"])
PRESSES = st.one_of(
    st.builds(Label, episode=NAMES, outcome=st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE])),
    st.builds(UndoLabel, episode=NAMES),
    st.builds(Void, episode=NAMES),
    st.builds(Restore, episode=NAMES),
    st.builds(Note, text=st.just("hm"), episode=st.none()),
    st.builds(SetAutopilot, on=st.booleans()),
    st.builds(SetSpeed, speed=st.sampled_from(ClockSpeed)),
    st.builds(EvaluateNow, episodes=st.just(1)),
    st.builds(DiskFull, reason=st.just("The disk is full.")),
    st.builds(Faulted, reason=st.just("A fault.")),
    *[st.just(event) for event in (go(), Pause(), resume(), Stop(), rearm(), SpaceBack())],
)
TURNS = st.lists(st.one_of(PRESSES, st.just(None), st.just(None), st.just(None)), max_size=60)


class World:
    """Plays the engine: does what the machine ordered, and keeps watch over what it may order."""

    def __init__(self) -> None:
        self.session = Session.fresh(cells=2, evaluation_every=3, evaluation_episodes=2, grace=1.0)
        self.running: set[str] = set()
        self.begun: list[str] = []
        self.now = 0.0
        self.labels: dict[str, Outcome | None] = {}

    def turn(self, press: Event | None) -> None:
        before = self.session.state
        event = self.work() if press is None else press
        orders = self.session.send(event)
        self.watch(before, event, orders)
        for order in orders:
            self.obey(order)

    def work(self) -> Event:
        """What a slice of the present phase would bring."""
        state = self.session.state
        self.now += 0.4
        match state.phase:
            case Phase.PREFLIGHT:
                return PreflightDone()
            case Phase.HOMING:
                return Homed()
            case Phase.ROLLOUT | Phase.EVALUATE if self.running:
                name = min(self.running)
                self.running.discard(name)
                return ended(name)
            case Phase.UPDATE:
                return UpdateDone(policy_version=state.updates_begun)
            case Phase.CHECKPOINT:
                return Checkpointed()
            case _:
                return Tick(now=self.now)

    def obey(self, order: Effect) -> None:
        match order:
            case BeginRollout():
                self.running = {slot.episode for slot in order.slots}
                self.begun += sorted(self.running)
            case EndMotion() if order.episode in self.running:
                self.running.discard(order.episode)
                self.turn(ended(order.episode, Ending.OPERATOR))
            case AbortMotion():
                aborted, self.running = self.running, set()
                for name in sorted(aborted):
                    self.turn(CutOff(episode=name, steps=1))
            case Write(record=Labelled() as record):
                self.labels[record.episode] = record.outcome
            case _:
                pass

    def watch(self, before: State, event: Event, orders: list[Effect]) -> None:
        state = self.session.state
        if isinstance(event, Stop) or state.stopped:
            assert state.stopped and state.phase is Phase.FAULT
            assert not any(isinstance(order, MOTION) for order in orders)
        if (
            any(isinstance(order, BeginUpdate) for order in orders)
            and state.updates_begun > before.updates_begun
        ):
            assert not state.pending
        if any(isinstance(order, MOTION) for order in orders):
            assert not state.disk_full
            assert state.updates_done == state.updates_begun and not state.unsaved
        records = [order.record for order in orders if isinstance(order, Write)]
        judged = [record for record in records if isinstance(record, Labelled | Voided | Restored)]
        if isinstance(event, Label | UndoLabel | Void | Restore):
            assert len(judged) <= 1 and all(record.episode == event.episode for record in judged)
        elif not isinstance(event, MotionEnded):
            assert not judged


@given(TURNS)
@settings(max_examples=150, deadline=None)
def test_whatever_is_pressed_stop_wins_labels_stay_with_their_episode_and_updates_wait(
    turns: list[Event | None],
) -> None:
    world = World()
    for press in turns:
        world.turn(press)
    assert len(set(world.begun)) == len(world.begun)
    for name, outcome in world.labels.items():
        assert world.session.state.verdicts[name].outcome is outcome


@given(TURNS)
@settings(max_examples=50, deadline=None)
def test_whatever_was_pressed_the_session_can_be_brought_back_to_work(turns: list[Event | None]) -> None:
    world = World()
    for press in turns:
        world.turn(press)
    world.turn(SpaceBack())
    world.turn(SetAutopilot(on=False))
    for _ in range(80):
        world.turn(recovery(world.session.state))
        if world.session.phase in (Phase.ROLLOUT, Phase.EVALUATE):
            return
    raise AssertionError(f"stuck in {replace(world.session.state, verdicts=Verdicts())}")


def recovery(state: State) -> Event | None:
    """What a patient operator would do."""
    if state.stopped:
        return rearm()
    if state.phase in (Phase.FAULT, Phase.READY):
        return go()
    if state.phase is Phase.PAUSED:
        return resume()
    if state.phase is Phase.LABEL and state.pending:
        return Label(episode=state.pending[0], outcome=Outcome.SUCCESS)
    return None


def test_a_press_that_answers_a_fault_does_not_clear_a_newer_one() -> None:
    session = rolling()
    session.send(Faulted(reason="The left arm has collided."))
    read = session.state.question
    assert kinds(session.send(Faulted(reason="The left arm has collided."))) == [], (
        "the same again is no news"
    )
    assert session.state.question == read
    newer = session.send(Faulted(reason="The right arm's emergency stop is pressed."))
    assert kinds(newer) == [FaultRaised]
    assert session.state.question == read + 1
    assert "has collided" in session.state.reason and "emergency stop" in session.state.reason
    assert kinds(session.send(Go(answers=read))) == [Refuse]
    assert session.phase is Phase.FAULT
    assert RecoverDevices in kinds(session.send(Go(answers=read + 1)))


def test_a_newer_fault_while_the_stop_is_latched_is_told_and_is_a_new_question() -> None:
    session = rolling()
    session.send(Stop())
    read = session.state.question
    session.send(Faulted(reason="Camera wrist is silent."))
    assert session.state.question == read + 1 and "Camera wrist" in session.state.reason
    assert kinds(session.send(Rearm(answers=read))) == [Refuse] and session.state.stopped
