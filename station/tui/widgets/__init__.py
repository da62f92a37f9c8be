"""The parts of the screens: each takes a piece of a snapshot and redraws only when it changed."""
