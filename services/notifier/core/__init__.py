"""The pure part: what is sent next, what a message says, what a chart shows. No I/O, no clock."""
