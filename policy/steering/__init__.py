"""Methods that steer or fine-tune the base, all behind one interface."""
