"""What a language has to provide."""

import msgspec


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Every text a chat can see. Braces are filled in by name; values are escaped before, so texts may hold HTML.

    code: as in the settings and in /lang. name: of the language, in itself. Keys of `alert_title`, `model` and `system_kind` that
    a language lacks are shown as they are, without underscores.
    """

    code: str
    name: str

    # --- a signal's message
    side: dict[str, str]
    entry_title: str
    exit_title: str
    entry: str
    take_profit: str
    stop_loss: str
    risk_reward: str
    model: dict[str, str]
    score: str
    sizing: str
    sizing_risk: str
    sizing_open_risk: str
    exit: str
    outcome: dict[str, str]
    result: str
    gain: str
    gain_short: str
    quote_currency: str
    exit_reason: dict[str, str]
    resolution: dict[str, str]
    duration: str
    condition: str
    bias: str
    note: str
    repeat: str
    more: str
    exit_notice: str
    picture: str

    # --- alerts
    alert: str
    alert_several: str
    alert_title: dict[str, str]

    # --- the market's bias and regime
    macro_title: str
    macro_side: dict[str, str]
    macro_strength: dict[str, str]
    macro_change: str
    macro_regime: dict[str, str]
    macro_regime_line: str
    macro_regime_change: str
    macro_part: str
    macro_times: str
    macro_expired: str
    macro_none: str

    # --- the platform
    severity: dict[str, str]
    system_kind: dict[str, str]
    platform: dict[str, str]
    system_several: str
    system_line: str

    # --- several at once
    digest: str
    digest_entry: str
    digest_exit: str
    digest_other: str

    # --- buttons and their answers
    button: dict[str, str]
    chart_coming: str
    chart_busy: str
    chart_unknown: str
    chart_failed: str
    chart_caption: str
    chart_caption_closed: str
    foreign_chat: str
    unknown_button: str
    choice: dict[str, str]
    muted_until: str
    too_fast: str
    no_role: str

    # --- commands
    start: str
    start_configured: str
    start_unconfigured: str
    role: dict[str, str]
    help_title: str
    command: dict[str, str]
    usage: dict[str, str]
    unknown_command: str
    malformed: str
    status: str
    results: str
    results_line: str
    results_memory: str
    results_model: str
    results_model_off: str
    results_pause: str
    health_up: str
    health_down: str
    signals_none: str
    signals_title: str
    signal_line: str
    symbols_title: str
    unknown_symbol: str
    unknown_timeframe: str
    unmuted: str
    not_muted: str
    quiet_set: str
    quiet_off: str
    language_set: str
    languages_known: str
    paused: str
    resumed: str
    try_again: str

    # --- why
    why_title: str
    why_action: dict[str, str]
    why_strategy: str
    why_failed_first: str
    why_gate: str
    why_levels: str
    why_none: str
    why_reason: dict[str, str]
