"""What a journal line says: one frozen record for each kind of line.

A record is checked when it is built, by a writer as by a reader, against the types of its fields: a checksum proves
that a line is intact, not that it makes sense. On disk, a line holds the record's `OP` and its fields by name, in the
order in which they are declared; a field whose default is None is omitted while it is None. Readers ignore unknown
fields and keep lines of unknown operations as `Other`: a later version may add both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome

Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""An integer; up to here, all are exact in float64."""
Count = Annotated[int, Field(ge=0, le=2**20)]
"""A number of things for which memory is allocated (episodes, blocks, layouts)."""
Number = Annotated[float, Field(allow_inf_nan=False)]
_Kind = Annotated[EpisodeKind, Field(strict=False)]
_Ending = Annotated[Ending, Field(strict=False)]
_Outcome = Annotated[Outcome, Field(strict=False)]


class Record(BaseModel):
    """Base of all kinds of lines. Building one raises ValueError where a field is missing or implausible."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True)

    OP: ClassVar[str] = ""
    """The operation that names this kind on disk."""

    @property
    def op(self) -> str:
        """The operation of this line."""
        return self.OP

    @classmethod
    def variant(cls, fields: Mapping[str, Any]) -> type[Self]:
        """The class that reads these fields: this one, or a subclass for lines that say more."""
        return cls

    def to_fields(self) -> dict[str, Any]:
        """The fields as a line holds them. Inverse of `read`."""
        return {
            info.alias or name: value
            for name, info in type(self).model_fields.items()
            if (value := getattr(self, name)) is not None or info.is_required()
        }


# --- episodes -----------------------------------------------------------------------------------------------------


class EpisodeCommitted(Record):
    """An episode is in the store, its label pending."""

    OP: ClassVar[str] = "episode"

    id: str
    kind: _Kind
    ordinal: Whole
    """Numbers the episodes of a kind."""
    steps: Count
    chunks: Count
    ending: _Ending
    policy_version: Whole
    block: Count | None = None
    """Evaluation block it belongs to."""

    @classmethod
    def of(cls, episode: Episode, block: int | None = None) -> EpisodeCommitted:
        """The line that enters an episode."""
        return cls.of_header(episode.header, steps=episode.steps, chunks=episode.chunks, block=block)

    @classmethod
    def of_header(
        cls, header: EpisodeHeader, *, steps: int, chunks: int, block: int | None = None
    ) -> EpisodeCommitted:
        """The same from the header alone, without the arrays."""
        return cls(
            id=header.id,
            kind=header.kind,
            ordinal=header.ordinal,
            steps=steps,
            chunks=chunks,
            ending=header.ending,
            policy_version=header.policy_version,
            block=block,
        )


class AboutEpisode(Record):
    """Base of what is said about one episode after its motion."""

    episode: str


class Labelled(AboutEpisode):
    """An episode was labelled, or its label taken back."""

    OP: ClassVar[str] = "label"

    outcome: _Outcome | None
    """None: the label is pending again."""
    by: str
    """Who labelled it: operator, autopilot, command, review, system, or an import."""


class Voided(AboutEpisode):
    """An episode no longer counts."""

    OP: ClassVar[str] = "void"

    by: str
    reason: str | None = None


class Restored(AboutEpisode):
    """A void episode counts again."""

    OP: ClassVar[str] = "restore"

    by: str


class Pruned(Record):
    """The files of void episodes were deleted, with other leftovers."""

    OP: ClassVar[str] = "prune"

    episodes: list[str]
    leftovers: list[str] = []
    """Deleted folders that were no episodes, relative to the session."""
    bytes: Whole = 0
    """Freed."""
    by: str


class EpisodeCutOff(AboutEpisode):
    """An episode was aborted in motion; what was recorded is in ``partial/``."""

    OP: ClassVar[str] = "cut_off"

    steps: Count
    """Steps kept."""
    lost: Whole = 0
    """Steps that could not be written."""
    reason: str


class Imported(Record):
    """A foreign episode was read: it became a demonstration, or was refused."""

    OP: ClassVar[str] = "import"

    file: str = ""
    fingerprint: str
    """Of its content."""
    episode: str | None
    """The demonstration's id; None if refused."""
    refused: str | None
    """Why it was refused."""
    kept: Whole = 0
    """Rows used."""
    dropped: Whole = 0
    """Rows left out."""
    key: str | None = None
    """Its place in a file that holds several."""


# --- base policy and learner --------------------------------------------------------------------------------------


class BaseTrained(Record):
    """A base policy was trained."""

    OP: ClassVar[str] = "training"

    stage: str = "done"
    demos: str
    """Fingerprint of the demonstrations' ids."""
    episodes: Count
    """Number of demonstrations."""
    stages: list[dict[str, Any]]
    """Per stage: its name, iterations, whether it converged, losses on held-out windows."""
    base_hash: str
    seconds: Number
    device: str | None = None
    """Where it was computed; lines of earlier versions do not say."""


class BaseEvaluated(Record):
    """One path of the base policy was evaluated in simulation."""

    OP: ClassVar[str] = "base_evaluation"

    path: str
    layouts: str = ""
    n: Count
    """Episodes."""
    outcomes: list[bool | Literal[0, 1]]
    """[n] whether each succeeded."""


class UpdateBegun(Record):
    """An update block begins."""

    OP: ClassVar[str] = "update"

    ordinal: Whole
    through: Whole
    """seq of the last line that it learns from."""
    steps: Count
    """Gradient steps planned."""
    device: str | None = None
    """Where they are computed, such as cpu or cuda:0; lines of earlier versions do not say."""


class CheckpointSaved(Record):
    """The learner was saved."""

    OP: ClassVar[str] = "checkpoint"

    update: Whole
    """Update blocks in it."""
    policy_version: Whole
    steps: Whole
    """Gradient steps in it."""


# --- phases and evaluations ---------------------------------------------------------------------------------------


class PhaseEntered(Record):
    """A lasting phase begins."""

    OP: ClassVar[str] = "phase"

    phase: str
    spent: dict[str, Number] = {}
    """Kind of time -> s spent since the last such line."""

    @classmethod
    def variant(cls, fields: Mapping[str, Any]) -> type[PhaseEntered]:
        """A line with a first ordinal is a round's."""
        return RoundOpened if "first" in fields else PhaseEntered


class RoundOpened(PhaseEntered):
    """A round begins: one episode for each cell."""

    kind: _Kind
    first: Whole
    """Ordinal of its first episode."""
    layout: Whole
    """Start layout of that episode."""
    size: Count
    """Episodes."""
    batch: Count
    """Rows of every inference."""

    def to_fields(self) -> dict[str, Any]:
        """The fields as a line holds them: `spent` comes last."""
        fields = super().to_fields()
        return fields | {"spent": fields.pop("spent")}


class Evaluation(Record):
    """A step in the life of an evaluation block."""

    OP: ClassVar[str] = "evaluation"

    stage: str

    @classmethod
    def variant(cls, fields: Mapping[str, Any]) -> type[Evaluation]:
        """Each stage has its own fields."""
        return _STAGES.get(str(fields.get("stage")), cls)


class EvaluationAsked(Evaluation):
    """A block comes next."""

    stage: Literal["asked"] = "asked"
    n: Count
    """Episodes."""


class EvaluationWithdrawn(Evaluation):
    """The requested block was withdrawn."""

    stage: Literal["withdrawn"] = "withdrawn"


class EvaluationBegun(Evaluation):
    """A block begins."""

    stage: Literal["begin"] = "begin"
    ordinal: Count
    """Numbers the blocks."""
    first: Whole
    """Ordinal of its first episode."""
    n: Count
    """Episodes."""
    at: Whole
    """Online episodes begun before it."""
    env_steps: Whole = 0
    """Online steps that count so far."""
    policy_version: Whole = 0


class EvaluationEnding(Evaluation):
    """The block was ended early: no more of its episodes begin."""

    stage: Literal["ending"] = "ending"
    ordinal: Count


class EvaluationEnded(Evaluation):
    """The block is over."""

    stage: Literal["end"] = "end"
    ordinal: Count
    first: Whole = 0
    n: Count
    """Episodes planned."""
    at: Whole = 0
    env_steps: Whole
    policy_version: Whole
    early: bool | None = None
    """Whether it was ended early."""
    done: Count | None = None
    """Episodes run, if it was ended early."""


_STAGES: dict[str, type[Evaluation]] = {
    kind.model_fields["stage"].default: kind for kind in Evaluation.__subclasses__()
}


# --- the session --------------------------------------------------------------------------------------------------


class SessionOpened(Record):
    """An engine has opened the folder."""

    OP: ClassVar[str] = "session"

    schema_version: Whole = Field(default=0, alias="schema")
    task: str = ""
    seed: Whole = 0
    threads: Whole = 0
    """Of torch."""
    decision_threads: Whole | None = None
    """Of the base policy's computations; None in lines of earlier versions: as `threads`."""
    torch: str = ""
    """Its version."""


class DevicesConnected(Record):
    """Real devices were connected, and accepted or refused."""

    OP: ClassVar[str] = "devices"

    devices: dict[str, dict[str, Any]]
    """Name -> model, serial, firmware, port, settings read back."""
    accepted: bool
    """False: the start was refused because a device was replaced."""
    replaced: list[str] = []
    """What changed since the last accepted start, a sentence each."""


class LimitChanged(Record):
    """A limit of the arms changes at the next start."""

    OP: ClassVar[str] = "limit"

    name: str
    value: Any
    before: Any = None
    loosened: bool = False
    """Whether the arms get more room."""


class SettingChanged(Record):
    """The operator changed a setting that outlives the engine."""

    OP: ClassVar[str] = "setting"

    name: str
    value: Any


class Noted(Record):
    """A remark."""

    OP: ClassVar[str] = "note"

    text: str = ""
    episode: str | None = None
    """The episode it is about."""


class Stopped(Record):
    """The stop latch was set."""

    OP: ClassVar[str] = "stop"

    by: str = ""


class Rearmed(Record):
    """The stop latch was re-armed."""

    OP: ClassVar[str] = "rearm"

    by: str = ""


class FaultRaised(Record):
    """A fault halted motion."""

    OP: ClassVar[str] = "fault"

    reason: str = ""


class Other(Record):
    """A line of a later version, whose operation is not known here."""

    name: str
    """Its operation."""
    content: dict[str, Any]

    @property
    def op(self) -> str:
        """The operation of this line."""
        return self.name

    def to_fields(self) -> dict[str, Any]:
        """All of its fields, unchanged."""
        return self.content


KINDS: Mapping[str, type[Record]] = {
    kind.OP: kind for kind in (*Record.__subclasses__(), *AboutEpisode.__subclasses__()) if kind.OP
}
"""Operation -> the record that its lines hold."""


def read(op: Any, fields: Any) -> Record:
    """The record of a line. Raises ValueError, naming the field: the line makes no sense."""
    if not isinstance(op, str) or not isinstance(fields, dict):
        raise ValueError("it has no operation or no fields")
    kind = KINDS.get(op)
    if kind is None:
        return Other(name=op, content=fields)
    try:
        return kind.variant(fields).model_validate(fields)
    except ValidationError as error:
        raise ValueError(_in_words(error, fields)) from error


def _in_words(error: ValidationError, fields: Mapping[str, Any]) -> str:
    name = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"][0]
    if name not in fields:
        return f"its '{name}' is missing"
    return f"its '{name}' cannot be {str(fields[str(name)])[:40]!r}"
