"""Foreign bytes become neutral recordings, in a process that may die."""
