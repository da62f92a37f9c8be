"""Conversion of neutral recordings to episodes."""
