"""How numbers of things are written in sentences for people."""


def counted(number: int, noun: str) -> str:
    """``1 episode``, ``2 episodes``, ``0 recordings``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
