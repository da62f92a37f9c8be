"""Cameras: one file a device behind one interface; each runs in a process of its own."""
