"""Mapping of foreign columns to their meaning."""
