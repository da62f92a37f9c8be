"""The dataset card: a README with an export's contents, selection and provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from datasets.episode import EpisodeKind, Outcome
from datasets.exporters.source import Entry, ExportSource
from datasets.exporters.staging import MARK
from datasets.rotation import REFERENCE_QUATERNION
from datasets.selection import PENDING
from datasets.spec import DataSpec
from datasets.wording import counted

_LABELS = {
    Outcome.SUCCESS.value: "the operator saw the task done",
    Outcome.FAILURE.value: "the operator saw it fail",
    Outcome.TIMEOUT.value: "the episode limit was reached; does not count as a success",
    PENDING: "not labelled yet",
}
_KINDS = {
    EpisodeKind.DEMO: "demonstrations by a person (or a scripted demonstrator)",
    EpisodeKind.ONLINE: "the policy acted while it learned",
    EpisodeKind.EVALUATION: "the policy acted to be measured",
}


def card(source: ExportSource, *, form: str, reading: str, front_matter: str = "") -> str:
    """The card in Markdown; `form` describes the format, `reading` how to load it, `front_matter` is YAML for hubs."""
    specs = {entry.header.spec.to_json().__repr__(): entry.header.spec for entry in source.entries}
    sections = [
        f"---\ntask_categories:\n- robotics\n{front_matter}---",
        f"# {source.session or 'Episodes'}\n\n{MARK}\n\n{source.instruction}\n\n{form[0].upper()}{form[1:]}.",
        _counts(source),
        *(_shapes(spec) for spec in specs.values()),
        _provenance(source),
        f"## Reading it\n\n{reading.strip()}",
    ]
    return "\n\n".join(sections) + "\n"


def _counts(source: ExportSource) -> str:
    outcomes = Counter(entry.outcome for entry in source.entries)
    kinds = Counter(entry.header.kind for entry in source.entries)
    seconds = sum(entry.steps * entry.header.spec.dt for entry in source.entries)
    judged = len(source.entries) - outcomes[PENDING]
    rate = f"{outcomes[Outcome.SUCCESS.value] / judged:.1%}" if judged else "unknown"
    steps = [entry.steps for entry in source.entries]
    lines = [
        "## Counts",
        "",
        f"{counted(len(steps), 'episode')}, {counted(source.steps, 'step')} ({min(steps)} to {max(steps)} each), "
        f"{seconds / 60:.1f} minutes. Successes among the {counted(judged, 'judged episode')}: {rate}.",
        "",
        "| label | episodes | meaning |",
        "|---|---|---|",
        *(f"| {name} | {outcomes[name]} | {meaning} |" for name, meaning in _LABELS.items()),
        "",
        "| kind | episodes | successes | meaning |",
        "|---|---|---|---|",
        *(
            f"| {kind.value} | {kinds[kind]} | {_successes(source.entries, kind)} | {meaning} |"
            for kind, meaning in _KINDS.items()
        ),
    ]
    if source.left_out:
        left = ", ".join(f"{count} {reason}" for reason, count in sorted(source.left_out.items()))
        lines += ["", f"Left out: {left}."]
    return "\n".join(lines)


def _successes(entries: Iterable[Entry], kind: EpisodeKind) -> int:
    return sum(entry.success for entry in entries if entry.header.kind is kind)


def _shapes(spec: DataSpec) -> str:
    cameras = [
        f"| camera `{camera.name}` | uint8 RGB [{camera.height}, {camera.width}, 3] | |"
        for camera in spec.cameras
    ]
    units = "m and as in actions" if spec.observes_pose else "rad"
    observed = f"{', '.join(spec.proprioception)} ({units}; gripper 0 closed .. 1 open)"
    down = ", ".join(f"{number:g}" for number in REFERENCE_QUATERNION)
    return "\n".join(
        [
            "## Shapes",
            "",
            f"One step every {spec.dt:g} s ({spec.control_hz:g} Hz).",
            "Step t holds observation t and the action taken on it.",
            "",
            "| what | type and shape | numbers |",
            "|---|---|---|",
            *cameras,
            f"| proprioception | float32 [{spec.proprioception_dim}] | {observed} |",
            f"| action | float32 [{spec.da}] | {', '.join(action_names(spec))} |",
            "",
            "An action is an absolute end-effector pose in the arm's base frame: position in m, rotation as",
            f"{spec.action.rotation.value.replace('_', ' ')} relative to a tool that points straight down (quaternion",
            f"xyzw {down}), gripper 0 closed .. 1 open. `sent` is what went to the arm after limits.",
            "True times are seconds on the cell's monotonic clock.",
        ]
    )


def _provenance(source: ExportSource) -> str:
    headers = [entry.header for entry in source.entries]
    created = sorted(header.created for header in headers if header.created)
    versions = [header.policy_version for header in headers if header.kind is not EpisodeKind.DEMO]
    facts = [
        ("session", source.session),
        ("chosen by", f"`{source.where}`" if source.where else "everything that is not void"),
        ("recorded", f"{created[0]} to {created[-1]}" if created else "unknown"),
        ("methods", ", ".join(sorted({header.method for header in headers if header.method}))),
        ("policy versions", f"{min(versions)} to {max(versions)}" if versions else ""),
        (
            "base policies",
            ", ".join(sorted({header.base_hash[:12] for header in headers if header.base_hash})),
        ),
        ("imported from", _imports(source)),
        ("exported", datetime.now(UTC).isoformat(timespec="seconds")),
        ("fingerprint of the selection", f"`{source.fingerprint[:16]}`"),
    ]
    return "\n".join(["## Provenance", "", *(f"- {name}: {value}" for name, value in facts if value)])


def _imports(source: ExportSource) -> str:
    """Source formats or devices of the demonstrations."""
    found = Counter(
        str(entry.header.source.get("format") or entry.header.source.get("device") or "a file")
        for entry in source.entries
        if entry.header.source.get("file")
    )
    return ", ".join(f"{name} ({counted(count, 'episode')})" for name, count in sorted(found.items()))


def action_names(spec: DataSpec) -> list[str]:
    """One name per number of an action, arms concatenated."""
    rotation = {
        3: ("rotation_x", "rotation_y", "rotation_z"),
        4: ("quaternion_x", "quaternion_y", "quaternion_z", "quaternion_w"),
        6: tuple(f"rotation_{row}{column}" for row in range(2) for column in range(3)),
    }[spec.action.rotation.size]
    arm = ("x", "y", "z", *rotation, *(("gripper",) if spec.action.gripper else ()))
    if spec.action.arms == 1:
        return list(arm)
    return [f"arm{number}_{name}" for number in range(1, spec.action.arms + 1) for name in arm]
