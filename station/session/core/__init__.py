"""The pure part of a session: state, events, effects."""
