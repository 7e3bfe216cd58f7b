"""English."""

from typing import Final

from services.notifier.core.languages.words import Words

ENGLISH: Final = Words(
    side={"LONG": "LONG", "SHORT": "SHORT"},
    entry_title="{arrow} <b>{side} SIGNAL</b> for <code>{symbol}</code>",
    exit_title="{mark} <b>EXIT {side}</b> <code>{symbol}</code>",
    entry="Entry: <code>{price}</code>",
    take_profit="Take Profit: <code>{price}</code> ({distance} %)",
    stop_loss="Stop Loss: <code>{price}</code> ({distance} %)",
    exit="Exit: <code>{price}</code>",
    result="PnL: <b>{pnl} %</b>",
    exit_reason={
        "tp": "take profit reached",
        "sl": "stop loss reached",
        "expired": "expired: neither level reached in time",
        "reversed": "closed by an opposite signal",
    },
    resolution={
        "candle": "decided by the candle",
        "tape": "both levels in one candle, decided by the trades",
        "pessimistic": "both levels in one candle, counted as the stop",
    },
    duration="after {duration}",
    bias="Bias: {bias}",
    note="✏️ {note}",
    repeat="🔁 <i>repeat {count}: the first copy may have arrived, too</i>",
    more="… and {count} more",
    alert="🔔 <b>ALERT</b> <code>{symbol}</code> {alert}",
    severity={"info": "INFO", "warning": "WARNING", "error": "ERROR"},
    chart_button="📊 Chart",
    start=(
        "<b>Crypto Signal Tracker</b>\n\n"
        "Chat id: <code>{chat_id}</code>\nYour user id: <code>{user_id}</code>\n\n{status}\n\n"
        "<i>Signals are computed from public market data for information only. Not financial advice.</i>"
    ),
    start_configured="This chat receives signals.",
    start_unconfigured=(
        "This chat receives nothing yet: put its id into <code>TELEGRAM_CHAT_ID</code> or under <code>chats</code> in "
        "<code>config/tracker.yaml</code> and restart the notifier."
    ),
    chart_coming="Drawing the chart …",
    chart_busy="This chart is already on its way.",
    chart_unknown="This signal is not known here any more.",
    chart_failed="📉 No chart for <code>{signal_id}</code>: {reason}.",
    foreign_chat="Charts are shown in configured chats only. /start tells this chat's id.",
    unknown_button="This button is from another version and does nothing any more.",
    chart_caption="<b>{side}</b> <code>{symbol}</code> {timeframe} · <code>{signal_id}</code>",
    chart_caption_closed="<b>{side}</b> <code>{symbol}</code> {timeframe} · PnL <b>{pnl} %</b> · <code>{signal_id}</code>",
)
