"""`cst replay`: the services' own cores and handlers over a recorded tape, in one process, on event time."""
