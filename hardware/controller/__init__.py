"""What runs in an arm's controller process, and what may be asked of it."""
