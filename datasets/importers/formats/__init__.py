"""One module per import format, each with one class; modules in this folder are discovered automatically."""
