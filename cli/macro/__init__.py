"""`cst macro`: the macro engine's rules over history."""
