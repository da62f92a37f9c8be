"""What foreign columns mean."""
