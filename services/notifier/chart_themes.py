"""Colours of the dark and the light theme. Contrast of every text to its ground is at least 4.5 : 1 (a test computes it)."""

from typing import Final

import msgspec


class ChartTheme(msgspec.Struct, frozen=True, kw_only=True):
    """Colours as #rrggbb. after: ground of the candles that the Decision did not know; on_label: text on a coloured label."""

    ground: str
    pane: str
    after: str
    grid: str
    text: str
    faint: str
    on_label: str
    up: str
    down: str
    volume_up: str
    volume_down: str
    entry: str
    take_profit: str
    stop_loss: str
    exit: str
    last: str
    first: str
    second: str
    third: str
    fourth: str

    def of(self, role: str) -> str:
        """The colour of a role; levels and curves name theirs."""
        colour: str = getattr(self, role)
        return colour


THEMES: Final = {
    "dark": ChartTheme(
        ground="#0d1219",
        pane="#121924",
        after="#182233",
        grid="#202b3a",
        text="#e3e9f1",
        faint="#93a1b5",
        on_label="#0a0e14",
        up="#26a69a",
        down="#ef5350",
        volume_up="#1f7a72",
        volume_down="#a33f40",
        entry="#5aa5ff",
        take_profit="#34d17f",
        stop_loss="#ff6b6b",
        exit="#ffc857",
        last="#a9b6c8",
        first="#c792ea",
        second="#ffb454",
        third="#5ccfe6",
        fourth="#aad94c",
    ),
    "light": ChartTheme(
        ground="#ffffff",
        pane="#fafbfd",
        after="#eef3fb",
        grid="#e3e8ef",
        text="#131722",
        faint="#5b6677",
        on_label="#ffffff",
        up="#0b8f7f",
        down="#dc3b3b",
        volume_up="#8fcfc6",
        volume_down="#f0a8a7",
        entry="#1f66d6",
        take_profit="#0a753f",
        stop_loss="#c62828",
        exit="#9a6200",
        last="#4d596b",
        first="#7b3fb3",
        second="#9f5000",
        third="#00738f",
        fourth="#456b00",
    ),
}
