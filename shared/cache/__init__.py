"""The cache: one port, its adapters. Losing it loses nothing."""
