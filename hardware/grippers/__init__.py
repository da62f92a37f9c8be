"""Grippers: one file a device behind one interface."""
