"""The bus: one port, its adapters (memory, SQLite), one contract test suite."""
