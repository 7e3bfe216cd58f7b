"""A market that does not exist: Bybit's WebSocket and REST on loopback, for the demo and for tests."""
