"""The whole pipeline in one process on virtual time; one seed, one history of faults."""
