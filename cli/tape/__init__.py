"""`cst tape`: the stored tape as a file that a replay plays again."""
