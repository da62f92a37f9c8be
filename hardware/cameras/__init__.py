"""Cameras: one driver file per device, behind one interface; each runs in its own process."""
