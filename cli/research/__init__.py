"""`cst backtest` and its relatives: files, store and configuration to the functions of `research`."""
