"""Policies: the frozen flow-matching base, its bottleneck, and the methods that steer it. Knows nothing of robots."""
