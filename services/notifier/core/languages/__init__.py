"""The words of every message, one file per language; the same keys in each."""

from typing import Final

from services.notifier.core.languages.english import ENGLISH
from services.notifier.core.languages.words import Words

LANGUAGES: Final[dict[str, Words]] = {"en": ENGLISH}

__all__ = ["LANGUAGES", "Words"]
