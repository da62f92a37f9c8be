"""The station: composes policy, hardware and datasets into what an operator runs.

Command line, session engine, terminal UI and benchmark. Nothing below imports from here.
"""
