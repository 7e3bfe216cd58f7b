"""What the aggregator decides: pure, no I/O, no clock."""
