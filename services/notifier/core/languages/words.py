"""What a language has to provide."""

import msgspec


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Every text a chat can see. Braces are filled in by name; values are escaped before, so texts may hold HTML."""

    side: dict[str, str]
    entry_title: str
    exit_title: str
    entry: str
    take_profit: str
    stop_loss: str
    exit: str
    result: str
    exit_reason: dict[str, str]
    resolution: dict[str, str]
    duration: str
    bias: str
    note: str
    repeat: str
    more: str
    alert: str
    severity: dict[str, str]
    chart_button: str
    start: str
    start_configured: str
    start_unconfigured: str
    chart_coming: str
    chart_busy: str
    chart_unknown: str
    chart_failed: str
    foreign_chat: str
    unknown_button: str
    chart_caption: str
    chart_caption_closed: str
