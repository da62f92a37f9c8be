"""One file per foreign format, each with one class; a file that lies here is found by itself."""
