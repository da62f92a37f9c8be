"""Keys beyond the terminal's own: global hotkeys and foot pedals, all optional."""
