"""Robot arms: one file a device behind one interface."""
