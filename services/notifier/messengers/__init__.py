"""Where messages go: one port, three adapters (Telegram, console, recording)."""
