"""One folder per venue, the same file names in each: wire, feed, rest, instruments."""
