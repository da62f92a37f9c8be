"""Robot arms: one driver file per device, behind one interface."""
