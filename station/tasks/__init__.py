"""The task library: one TOML file per task, read by `station.tasks.config`. Holds no code."""
