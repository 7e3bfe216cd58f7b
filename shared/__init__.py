"""The crypto signal platform, shared parts: see docs/adr and the README for the house."""
