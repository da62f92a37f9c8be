"""The screens of the terminal UI, one file and one style sheet each."""
