"""The terminal front end of a session, in Textual. Nothing below it knows that it exists."""
