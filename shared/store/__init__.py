"""Ordered rows with conditional writes and leases: one port, its adapters; repositories written once on the port."""
