"""What people answered about a session's sources, in its ``import.toml``: asked once, used again, open to an editor.

One table per structure of sources. ``answers`` is what counts next time; ``mapping`` beside it is the whole mapping as
it was last used, for people to read.
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
"""Answers about which episodes are meant, and not about what a column means."""


class AnswersError(StationError):
    """An ``import.toml`` that cannot be used; says where and what to do."""


def load(path: Path) -> Answers:
    """structure -> entries; empty when there is no file yet.

    Raises:
        AnswersError: damaged, or edited into something that means nothing.
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
    """Write the file anew; tables of structures that are not in `outlines` stay as they are.

    Raises:
        DiskFullError: there is no room. AnswersError: a name in it is no text.
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
