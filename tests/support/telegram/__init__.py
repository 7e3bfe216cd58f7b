"""A Telegram Bot API server for tests: real HTTP on loopback, Telegram's envelopes, limits and error texts."""
