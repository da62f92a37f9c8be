"""Cells: arms, grippers and cameras, real or simulated, behind one contract. Knows nothing of policies."""
