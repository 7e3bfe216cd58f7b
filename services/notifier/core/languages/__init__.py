"""The words of every message. A language is one file in this folder with a `WORDS`; nothing else has to be changed."""

import importlib
import pkgutil
from typing import Final

from services.notifier.core.languages.words import Words


def _found() -> dict[str, Words]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "words")
    languages = [importlib.import_module(f"{__name__}.{name}").WORDS for name in names]
    return {words.code: words for words in languages}


LANGUAGES: Final[dict[str, Words]] = _found()

__all__ = ["LANGUAGES", "Words"]
