"""Episodes enter store and journal."""
