"""Keys that are not the terminal's: foot pedals, number pads, global hotkeys. They know names, no meanings."""
