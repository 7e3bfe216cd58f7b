"""Signals, alerts and system events to Telegram (or the console): one living message per signal, charts, buttons."""
