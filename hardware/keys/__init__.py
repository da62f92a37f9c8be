"""Keys other than the terminal's: foot pedals, number pads, global hotkeys. They report key names, not meanings."""
