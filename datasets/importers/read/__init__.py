"""Reading of foreign files into neutral recordings, in a process that may crash."""
