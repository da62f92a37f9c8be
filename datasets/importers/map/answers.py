"""People's answers about a session's sources, in its ``import.toml``: asked once, reused, editable by hand.

One table per source structure. ``answers`` is used next time; ``mapping`` beside it is the full mapping as last used,
for reading only.
"""

from __future__ import annotations

from pathlib import Path

import tomlkit

from datasets.durable import Disk, full_disk_named
from datasets.errors import StationError
from datasets.importers.findings import Answers, Outline
from datasets.importers.mapping import Mapping, MappingError
from datasets.own_files import read_bytes
from datasets.plain_text import from_toml

NAME = "import.toml"
_OF_CHOICE = ("instruction",)
"""Answers that select episodes rather than describe columns."""


class AnswersError(StationError):
    """The ``import.toml`` is unusable; says where and what to do."""


def load(path: Path) -> Answers:
    """structure -> entries; empty if there is no file yet.

    Raises:
        AnswersError: damaged, or edited to something invalid.
    """
    if not path.exists():
        return {}
    try:
        tables = from_toml(read_bytes(path).decode())
        found = {
            str(structure): {str(name): str(value) for name, value in table["answers"].items()}
            for structure, table in tables.items()
        }
        for entries in found.values():
            Mapping().with_answers({name: text for name, text in entries.items() if name not in _OF_CHOICE})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        kind = "an entry means nothing" if isinstance(error, MappingError) else "it is damaged"
        raise AnswersError(
            f"{path}: {kind} ({error}). Mend it, or delete it: it only holds answers about imports."
        ) from error
    return found


def save(path: Path, outlines: dict[str, Outline], answers: Answers) -> None:
    """Rewrite the file, keeping tables of structures that are not in `outlines`.

    Raises:
        DiskFullError: no space. AnswersError: a name is not valid text.
    """
    text = read_bytes(path).decode() if path.exists() else ""
    document = tomlkit.parse(text) if text else tomlkit.document()
    if not text:
        document.add(tomlkit.comment("How this session's foreign demonstrations are understood."))
        document.add(
            tomlkit.comment("'answers' are used again; 'mapping' shows all that followed from them.")
        )
    for structure, outline in outlines.items():
        table = tomlkit.table()
        table.add("format", outline.format)
        table.add("answers", dict(answers.get(structure, {})))
        table.add("mapping", dict(outline.entries))
        document[structure] = table
    try:
        data = tomlkit.dumps(document).encode()
    except UnicodeEncodeError as error:
        raise AnswersError(
            f"{path}: {error.object[error.start - 20 : error.end + 20]!r} is a name that is no text. "
            "Rename it in the recordings, and import them again."
        ) from error
    with full_disk_named(NAME, path):
        Disk().replace(path, data)
