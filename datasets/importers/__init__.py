"""Other recorders' files become demonstrations in a session's episode store, one module per format."""
