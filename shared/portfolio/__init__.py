"""What becomes of an entry: the life of a signal. Pure; services and research call the same functions."""
