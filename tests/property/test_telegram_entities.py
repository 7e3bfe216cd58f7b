"""Telegram's HTML as the test server reads it: whatever was escaped comes back, whatever is odd is refused in words."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.telegram.entities import Entity, parse_text, utf16_length
from tests.support.telegram.errors import ApiError

_TAGS = ("b", "i", "u", "s", "code", "pre", "blockquote", "tg-spoiler")
_SOUP = st.lists(
    st.sampled_from(["<b>", "</b>", "<i>", "</i>", "<br>", "<", ">", "&lt;", "&", "x", "é", "📊", " ", '<a href="']),
    max_size=14,
)


@given(st.text())
def test_escaped_text_comes_back_without_entities(text: str) -> None:
    assert parse_text(html.escape(text), "HTML") == (text.strip(), [])


@given(st.lists(st.tuples(st.sampled_from(_TAGS), st.text(min_size=1)), max_size=5))
def test_every_entity_covers_the_text_it_was_written_around(parts: list[tuple[str, str]]) -> None:
    marked = "|" + "|".join(f"<{tag}>{html.escape(text)}</{tag}>" for tag, text in parts) + "|"

    plain, entities = parse_text(marked, "HTML")

    assert plain == "|" + "|".join(text for _, text in parts) + "|"
    units = plain.encode("utf-16-le")
    covered = [units[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le") for e in entities]
    assert covered == [text for _, text in parts]


@given(_SOUP)
def test_tag_soup_is_read_or_refused_never_a_crash(soup: list[str]) -> None:
    refusal, plain = "", ""
    entities: list[Entity] = []
    try:
        plain, entities = parse_text("".join(soup), "HTML")
    except ApiError as error:
        refusal = error.description

    assert refusal.startswith("Bad Request: can't parse entities: " if refusal else "")
    assert all(0 <= e["offset"] < e["offset"] + e["length"] <= utf16_length(plain) for e in entities)


def test_code_in_pre_is_one_entity_with_its_language() -> None:
    assert parse_text('<pre><code class="language-py">x = 1</code></pre>', "HTML") == (
        "x = 1",
        [{"type": "pre", "offset": 0, "length": 5, "language": "py"}],
    )


def test_markdown_is_not_spoken_here() -> None:
    with pytest.raises(ApiError, match="unsupported parse_mode"):
        parse_text("*x*", "MarkdownV2")
