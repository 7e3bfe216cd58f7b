"""Every language says everything, with the same places to fill in."""

import string

import msgspec
import pytest

from services.notifier.core.languages import LANGUAGES, Words

ENGLISH = msgspec.structs.asdict(LANGUAGES["en"])
# A language may know more or fewer of these: what it lacks is shown as it is.
_OPEN = {"alert_title", "system_kind"}


def places(text):
    """The names in braces."""
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_every_language_has_every_key_and_its_places(code):
    words = msgspec.structs.asdict(LANGUAGES[code])
    for key, english in ENGLISH.items():
        if isinstance(english, dict):
            assert key in _OPEN or words[key].keys() == english.keys(), (code, key)
            for name in words[key].keys() & english.keys():
                assert places(words[key][name]) == places(english[name]), (code, key, name)
        else:
            assert places(words[key]) == places(english), (code, key)


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_no_language_leaves_a_text_empty_or_breaks_the_markup(code):
    words = msgspec.structs.asdict(LANGUAGES[code])
    texts = [text for value in words.values() for text in (value.values() if isinstance(value, dict) else [value])]
    for text in texts:
        assert text.strip()
        for tag in ("b", "i", "code"):
            assert text.count(f"<{tag}>") == text.count(f"</{tag}>"), (code, text)


def test_a_language_is_found_by_its_file_alone():
    assert set(LANGUAGES) >= {"en", "vi"}
    assert all(isinstance(words, Words) and words.code == code for code, words in LANGUAGES.items())
