"""An arm's controller process, and the requests that it answers."""
