"""Neutral recordings become episodes."""
