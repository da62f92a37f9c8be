"""Which physical keys a letter may come from: people forget to switch the layout back before they stop.

Keys are named by the letters they type in the US layout. Good enough for a stop or a brake,
where a mistake costs seconds; never for a label or a start. No screen, no key table.
"""

from __future__ import annotations

from collections.abc import Mapping

_KEYS = "qwertyuiop[]asdfghjkl;'zxcvbnm,."
_LAYOUTS = {
    "Russian": "йцукенгшщзхъфывапролджэячсмитьбю",
    "Ukrainian": "йцукенгшщзхїфівапролджєячсмитьбю",
    "Serbian": "љњертзуиопшђасдфгхјклчћѕџцвбнм,.",
    "Greek": "\0ςερτυθιοπ[]ασδφγηξκλ\0'ζχψωβνμ,.",
    "Hebrew": "/'קראטוןםפ][שדגכעיחלךף,זסבהנמצתץ",
    "Arabic": "ضصثقفغعهخحجدشسيبلاتنمكطئءؤر\0ىةوز",
    "Persian": "ضصثقفغعهخحجچشسیبلاتنمکگظطزرذدپو.",
    "Korean": "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ[]ㅁㄴㅇㄹㅎㅗㅓㅏㅣ;'ㅋㅌㅊㅍㅠㅜㅡ,.",
    "Japanese": "たていすかんなにらせ゛゜ちとしはきくまのりれけつさそひこみもねる",
    "Thai": "ๆไำพะัีรนยบลฟหกดเ้่าสวงผปแอิืทมใ",
    "Georgian": "ქწერტყუიოპ[]ასდფგჰჯკლ;'ზხცვბნმ,.",
    "Armenian": "քոեռտըւիօպխծասդֆգհյկլ;՛զղցվբնմ,.",
}
"""What the keys of `_KEYS` type, one character each, NUL if none."""


def _positions() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for letters in _LAYOUTS.values():
        for key, letter in zip(_KEYS, letters, strict=True):
            if not letter.isascii():
                found[letter] = found.get(letter, frozenset()) | {key}
    return found


POSITIONS: Mapping[str, frozenset[str]] = _positions()
"""Lower-case letter -> the keys that type it in a common layout; more than one where layouts differ."""


def keys_of(letter: str) -> frozenset[str]:
    """The keys that may type this letter, in either case; none for Latin letters."""
    return POSITIONS.get(letter.lower(), frozenset())
