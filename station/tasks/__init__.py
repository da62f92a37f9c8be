"""The task library: one TOML file per task, read by `station.config`. Holds no code."""
