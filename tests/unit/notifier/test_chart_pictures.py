"""Charts as they look: beside approved pictures, by how different they would seem to a person.

After a change of the look: .venv/bin/python -m tests.support.approve_charts, then look at tests/approved/charts and commit.
A picture that differs is written to build/charts/<name>.png beside the approved one, with what differs in white.
"""

import struct

import msgspec
import pytest
from PIL import Image, ImageFilter

from services.notifier.chart_drawing import draw_chart
from services.notifier.chart_themes import THEMES, ChartTheme
from tests.support.approve_charts import APPROVED
from tests.support.chart_cases import chart_cases
from tests.support.pictures import Distance, distance, picture, save_comparison

CASES = chart_cases()
BUILD = APPROVED.parents[2] / "build" / "charts"
# Half of what a blur of one pixel or other hinting costs fits below; a changed digit of a label does not.
MEAN_MAX, WORST_TILE_MAX = 0.5, 2.5


def alike(found: Distance) -> bool:
    return found.mean <= MEAN_MAX and found.worst_tile <= WORST_TILE_MAX


def approved(name: str) -> Image.Image:
    return Image.open(APPROVED / f"{name}.png").convert("RGB")


@pytest.mark.parametrize("name", CASES)
def test_a_chart_looks_as_approved(name):
    drawn = picture(draw_chart(CASES[name]))

    found = distance(approved(name), drawn)

    if not alike(found):
        save_comparison(approved(name), drawn, BUILD / f"{name}.png")
    assert alike(found), f"{found}: see build/charts/{name}.png; approve it with tests.support.approve_charts"


def test_the_approved_pictures_are_those_of_the_cases():
    assert {file.stem for file in APPROVED.glob("*.png")} == set(CASES)


def test_softer_pixels_are_no_difference_to_a_person():
    soft = picture(draw_chart(CASES["open_long"])).filter(ImageFilter.GaussianBlur(0.8))

    assert alike(distance(approved("open_long"), soft))


@pytest.mark.parametrize("change", ["side", "marks", "bias_text", "price", "label", "rsi", "theme"])
def test_what_a_person_would_notice_is_noticed(change):
    model = CASES["open_long"]
    first, pane = model.levels[0], model.panes[0]
    flat = msgspec.structs.replace(pane.lines[0], values=(50.0,) * len(model.close))
    changes = {
        "side": {"side": -1},
        "marks": {"marks": ()},
        "bias_text": {"bias_text": ""},
        "price": {"levels": (msgspec.structs.replace(first, price=first.price + 11), *model.levels[1:])},
        "label": {"levels": model.levels[1:]},
        "rsi": {"panes": (msgspec.structs.replace(pane, lines=(flat,)),)},
        "theme": {"theme": "light"},
    }
    drawn = picture(draw_chart(msgspec.structs.replace(model, **changes[change])))

    assert not alike(distance(approved("open_long"), drawn))


def test_a_figure_that_was_used_before_draws_the_same_bytes():
    fresh = {name: draw_chart(model) for name, model in CASES.items()}
    again = {name: draw_chart(CASES[name]) for name in reversed(CASES)}

    assert again == fresh


def test_a_picture_that_failed_leaves_nothing_in_the_next():
    model = CASES["open_long"]
    before = draw_chart(model)
    unknown = msgspec.structs.replace(model.levels[0], kind="no_such_level")
    with pytest.raises(AttributeError):
        draw_chart(msgspec.structs.replace(model, levels=(*model.levels, unknown)))

    assert draw_chart(model) == before


def test_the_picture_has_the_size_of_its_scale_and_pyplot_keeps_no_figure():
    import matplotlib.pyplot as plt

    for scale, size in ((1.0, (640, 720)), (1.5, (960, 1080))):
        png = draw_chart(msgspec.structs.replace(CASES["one_candle"], scale=scale))
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", png[16:24]) == size
        assert picture(png).size == size
    assert plt.get_fignums() == []


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_every_text_stands_out_from_its_ground(theme):
    grounds = (theme.ground, theme.pane, theme.after)
    texts = ("text", "faint", "first", "second", "third", "fourth", "take_profit", "stop_loss")
    labels = ("entry", "take_profit", "stop_loss", "exit", "last", "up", "down")

    assert min(contrast(theme.of(role), ground) for role in texts for ground in grounds) >= 4.5
    assert min(contrast(theme.on_label, theme.of(role)) for role in labels) >= 3.9  # bold, 13.5 units and more


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: (lighter + 0.05) / (darker + 0.05) of relative luminance."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_both_themes_name_every_role():
    assert {type(theme) for theme in THEMES.values()} == {ChartTheme}
    assert set(THEMES) == {"dark", "light"}
