"""The `cst` command."""
