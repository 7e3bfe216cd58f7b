"""The pure part: one file per decision; no I/O, no clock, no asyncio."""
