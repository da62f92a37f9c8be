"""The process that carries out a session's effects."""
