"""One calm dark theme; every colour on the screen is one of these."""

from __future__ import annotations

from textual.theme import Theme

STATION_THEME = Theme(
    name="station",
    dark=True,
    primary="#6cb6e0",
    secondary="#b59ad8",
    accent="#6cb6e0",
    foreground="#d5dce3",
    background="#0f1418",
    surface="#151c22",
    panel="#202a33",
    success="#6cc08b",
    warning="#e3b661",
    error="#e87f6f",
    variables={
        "muted": "#8b9aa8",
        "faint": "#4d5a66",
        "footer-key-foreground": "#6cb6e0",
        "footer-background": "#151c22",
    },
)
