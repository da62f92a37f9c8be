"""Entry of imported episodes into store and journal."""
