"""Whether a session is still where its engine opened it: it may be removed, renamed or restored meanwhile.

An engine that opens files by path would keep writing into whatever is there now, or recreate it. So it checks
every turn, and ends.
"""

from __future__ import annotations

from datasets.own_files import identity
from station.session.folder import SessionError, SessionFolder


class SessionGoneError(SessionError):
    """The session, or a part of it, is no longer what was at its path when it was opened."""


class Place:
    """What is at a session's paths now, for later comparison."""

    def __init__(self, folder: SessionFolder) -> None:
        """Check once; what does not exist yet is not missed."""
        store = folder.episodes / "episodes"
        paths = (folder.path, folder.journal, folder.episodes, store, folder.steering)
        found = {path.absolute(): identity(path) for path in paths}
        self._known = {path: known for path, known in found.items() if known is not None}

    @property
    def gone(self) -> str:
        """What was removed, renamed or replaced since, in a sentence; empty while all is there. Some microseconds."""
        path = next((path for path, known in self._known.items() if identity(path) != known), None)
        return "" if path is None else gone(str(path))

    def require(self) -> None:
        """Raises SessionGoneError."""
        if sentence := self.gone:
            raise SessionGoneError(sentence)


def gone(what: str) -> str:
    """What to do about a session whose folder, journal or episodes are no longer there."""
    return (
        f"{what} was removed, renamed or replaced while the session ran. The arms brake, the engine ends, and nothing "
        "is written in its place. Put it back where it was, then run the session again; an episode that was under way "
        "is not in it."
    )
