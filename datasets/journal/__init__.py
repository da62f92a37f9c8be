"""The numbered, append-only journal, its lines, and what they add up to."""
