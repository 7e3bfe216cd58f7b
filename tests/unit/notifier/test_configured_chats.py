"""Which chats are told."""

import pytest

from services.notifier.main import configured_chats
from services.notifier.settings import NotifierSettings
from shared.runtime.settings import SettingsError

CONFIG = """
venues: {bybit-linear: {symbols: [BTCUSDT]}}
strategies: [{name: rsi_divergence}]
chats: [{name: mine}, {name: group, id: -1002000}, {name: channel, id: "@signals"}, {name: again, id: -1002000}]
"""


def settings_with(tmp_path, chat_id):
    path = tmp_path / "tracker.yaml"
    path.write_text(CONFIG)
    return NotifierSettings(tracker_config=path, telegram_chat_id=chat_id)


def test_an_entry_without_an_id_means_the_environments_chat_and_nobody_is_told_twice(tmp_path):
    assert configured_chats(settings_with(tmp_path, " 1001 ")) == ("1001", "-1002000", "@signals")
    assert configured_chats(settings_with(tmp_path, "")) == ("-1002000", "@signals")


def test_what_is_no_chat_id_is_refused_by_name(tmp_path):
    with pytest.raises(SettingsError, match="TELEGRAM_CHAT_ID"):
        configured_chats(settings_with(tmp_path, "my chat"))
