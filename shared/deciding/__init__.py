"""From windows to Decisions, and from Decisions to signals and alerts. Pure: the logic engine, research and charts call the same functions."""
