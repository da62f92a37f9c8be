"""Measurements that are committed commands: what they found is reproducible from a seed."""
