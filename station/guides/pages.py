"""Finds guides: the list, one by name, and sections by search words. Text in, text out; prints nothing.

README.md of this folder is the list: the order, the names, and one line about each.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from datasets.errors import UsageError

INDEX = "README.md"
_LISTED = re.compile(r"^- \[([a-z-]+)\]\(\1\.md\): (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([a-z-]+)\.md(?:#([a-z0-9-]+))?\)")
_HEADING = re.compile(r"^#{1,4} ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Guide:
    """One page."""

    name: str
    summary: str
    """One line: what it helps with."""
    text: str
    """Markdown, beginning with its title."""

    @property
    def title(self) -> str:
        """The page's title."""
        return self.text.split("\n", 1)[0].removeprefix("# ")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and the text below it."""

    level: int
    """1: the page's title."""
    heading: str
    body: str

    @property
    def text(self) -> str:
        """Markdown."""
        return f"{'#' * self.level} {self.heading}\n{self.body}"


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A section that contains all search words."""

    guide: Guide
    heading: str
    line: str
    """Its line with the most search words."""

    @property
    def anchor(self) -> str:
        """The heading as links name it."""
        return slug(self.heading)


class GuideError(UsageError):
    """No guide, or several, go by this name; the message lists those that do."""


@cache
def guides() -> tuple[Guide, ...]:
    """All guides, in reading order for a new operator."""
    return tuple(
        Guide(name=name, summary=summary, text=_read(f"{name}.md"))
        for name, summary in _LISTED.findall(_read(INDEX))
    )


def find(name: str) -> Guide:
    """The guide of this name, or the only one whose name holds it.

    Raises:
        GuideError: there is none, or more than one.
    """
    known = {guide.name: guide for guide in guides()}
    wanted = "-".join(name.lower().removesuffix(".md").split())
    if wanted in known:
        return known[wanted]
    meant = [guide for guide in guides() if wanted and wanted in guide.name]
    if len(meant) == 1:
        return meant[0]
    near = [guide.name for guide in meant] or difflib.get_close_matches(wanted, known, n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(repr(each) for each in near)}? " if near else ""
    raise GuideError(
        f"There is no guide '{name}'. {hint}Known: {', '.join(known)}. "
        f"'station guide --search WORDS' finds a page by what it says."
    )


def search(words: str) -> list[Hit]:
    """Sections that hold every word, in either case; those that name one in their heading first."""
    wanted = words.lower().split()
    if not wanted:
        return []
    found = []
    for order, guide in enumerate(guides()):
        for part in sections(guide):
            named = f"{guide.name} {part.heading}".lower()
            if all(word in f"{named}\n{part.body.lower()}" for word in wanted):
                hit = Hit(guide=guide, heading=part.heading, line=_best_line(part.body, wanted))
                found.append((-sum(word in named for word in wanted), order, hit))
    return [hit for _, _, hit in sorted(found, key=lambda each: each[:2])]


def sections(guide: Guide) -> Iterator[Section]:
    """A guide's headings with the text below each, up to the next."""
    fenced = False
    newest, lines = Section(level=1, heading=guide.title, body=""), list[str]()
    for line in guide.text.splitlines()[1:]:
        fenced ^= line.lstrip().startswith("```")
        if not fenced and _HEADING.match(line):
            yield replace(newest, body="\n".join(lines))
            marks, _, heading = line.partition(" ")
            newest, lines = Section(level=len(marks), heading=heading, body=""), []
        else:
            lines.append(line)
    yield replace(newest, body="\n".join(lines))


def slug(heading: str) -> str:
    """A heading as a link to it is written."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def with_links(text: str, written: Callable[[str, str], str]) -> str:
    """The page with each link to another guide as `written` has it, of the link's words and that guide's name."""
    return _LINK.sub(lambda found: written(found[1], found[2]), text)


def _best_line(body: str, wanted: list[str]) -> str:
    lines = [line.strip() for line in body.splitlines() if line.strip() and not line.startswith("```")]
    best = max(lines, key=lambda line: sum(word in line.lower() for word in wanted), default="")
    return " ".join(best.strip("|").replace(" | ", ": ").split())


def _read(file: str) -> str:
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
