"""One folder per deployable; the same files in each."""
