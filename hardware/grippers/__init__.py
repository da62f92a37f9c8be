"""Grippers: one driver file per device, behind one interface."""
