"""The safety filter: the last limits before a command reaches an arm."""
