"""What the commands do, by kind of work; `station.cli` gives them their names."""
