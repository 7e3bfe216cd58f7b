"""`cst migrate-store`: everything the platform remembers, from one store to another."""
