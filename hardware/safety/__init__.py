"""The last word before an arm."""
