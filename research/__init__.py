"""What a strategy would have done, and whether what it did is the same: on the strategies and portfolio that run live."""
