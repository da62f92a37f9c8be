"""A session from its first layout to its last label: state machine, engine, and the line to front ends."""
