"""Every language says everything, with the same places to fill in."""

import string

import msgspec
import pytest

from services.notifier.core.languages import LANGUAGES, Words
from services.notifier.core.roles import Role
from shared.domain.bias import Direction
from shared.domain.decisions import Action
from shared.domain.events import Severity
from shared.domain.regime import Regime
from shared.domain.signals import ExitReason, Resolution

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


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_every_value_a_message_can_carry_has_its_words(code):
    words = LANGUAGES[code]

    assert {reason.value for reason in ExitReason} <= words.exit_reason.keys()
    assert {resolution.value for resolution in Resolution} <= words.resolution.keys()
    assert {direction.value for direction in Direction} <= words.side.keys() & words.macro_side.keys()
    assert {severity.value for severity in Severity} <= words.severity.keys()
    assert {action.value for action in Action} <= words.why_action.keys()
    assert {regime.value for regime in Regime} <= words.macro_regime.keys()
    assert {role.key for role in Role} <= words.role.keys()
