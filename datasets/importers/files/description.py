"""Descriptions of files in no known format: read, checked, and generated as templates to fill in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from datasets.importers.defects import Defect, Question, RefusedError
from datasets.importers.files import images, members
from datasets.importers.files.members import Members
from datasets.importers.mapping import Mapping, MappingError
from datasets.plain_text import from_toml
from datasets.settings import Settings

NAME = "import-description.toml"
_LONGEST = 2**20


class Description(Settings):
    """How to read files, and what they contain."""

    files: str = "*"
    """Files to read below the folder: a pattern such as "*.npz" or "*/trajectory.h5"."""
    episodes: str = ""
    """Groups that are one episode each: a pattern such as "traj_*" ("*" for a pickled list); empty: one per file."""
    ends: str = ""
    """Member with the end row of each episode, for files that hold all episodes end to end."""
    time: str = ""
    """Member with the time of each sample, s; without it, [map] must give the rate."""
    success: str = ""
    """Member, or attribute of the file or group, with the episode's success."""
    instruction: str = ""
    """Task instruction."""
    map: dict[str, str] = Field(default_factory=dict)
    """Meaning of members: entries as for --map."""


def description_in(path: Path) -> Description:
    """Read and check a description.

    Raises:
        RefusedError: it is unreadable or has an invalid entry; names the entry and the remedy.
    """
    try:
        if path.stat().st_size > _LONGEST:
            raise RefusedError(Defect.TOO_BIG, f"{path.name} is not a description: it is too long")
        tables = from_toml(path.read_text(encoding="utf-8"))
        entries = tables.get("map", {})
        if isinstance(entries, dict):
            tables["map"] = {name: str(value) for name, value in entries.items()}
        described = Description.model_validate(tables)
        Mapping().with_answers(described.map)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        known = ", ".join(Description.model_fields)
        raise RefusedError(
            Defect.UNREADABLE, f"{path.name}: {place}: {first['msg'].lower()}; it may hold {known}"
        ) from error
    except MappingError as error:
        raise RefusedError(Defect.UNREADABLE, f"{path.name}: [map] {error}") from error
    except (OSError, ValueError) as error:
        raise RefusedError(Defect.UNREADABLE, f"{path.name} is not valid TOML ({error})") from error
    return described


def guess(path: Path, found: Members) -> Description:
    """A description guessed from the file's layout: which groups, or ranges of rows, are episodes."""
    ends = next((name for name in found if name.split("/")[-1] in ("episode_ends", "traj_ends")), "")
    suffix = f"*{path.suffix}"
    if ends:
        return Description(files=suffix, ends=ends)
    tops = {name.split("/")[0] for name in found}
    stems = {top.rstrip("0123456789") for top in tops}
    numbered = len(stems) == 1 and all(top[-1:].isdigit() for top in tops)
    nested = all("/" in name for name in found)
    return Description(files=suffix, episodes=f"{stems.pop()}*" if found and nested and numbered else "")


def template(path: Path, found: Members, described: Description, questions: Sequence[Question]) -> str:
    """A template to fill in: what the file holds, and a line for each entry that must be given."""
    lines = [
        f"# How these files are read. Keep it as {NAME} in the folder of the data,",
        "# or anywhere, and say --as described:FILE.",
        f"# {_escaped(path.name)} holds:",
        *(
            f"#   {_escaped(name)}  {list(member.shape)} {member.dtype}{_kind(member)}"
            for name, member in found.items()
        ),
        "",
    ]
    values = described.model_dump()
    for name, field in Description.model_fields.items():
        if name != "map":
            lines += [f"# {field.description}", f'{name} = "{_escaped(values[name])}"']
    lines += [
        "",
        "[map]",
        "# What members mean, as --map says it; NAME[0:3] takes some of a member's numbers, NAME[7] one.",
        *(f'"{_escaped(name)}" = "{_escaped(value)}"' for name, value in described.map.items()),
    ]
    for question in questions:
        example = "|".join(question.choices) or question.example or "..."
        lines += [
            f"# {' '.join(question.text.split())}",
            f'# "{_escaped(question.name)}" = "{_escaped(example)}"',
        ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Inside the quotes of a TOML string; in a comment, on one line."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _kind(member: object) -> str:
    if images.is_colour(member):
        return "  (images)"
    if images.is_encoded(member):
        return "  (images, JPEG or PNG)"
    return "  (depth or grey)" if images.is_depth(member) else ""


def first_file(path: Path) -> Path:
    """The first file with arrays at a path.

    Raises:
        RefusedError: there is none.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    first = next((file for file in files if file.name.endswith(members.SUFFIXES)), None)
    if first is None:
        raise RefusedError(Defect.UNREADABLE, f"no file there ends in {', '.join(members.SUFFIXES)}")
    return first
