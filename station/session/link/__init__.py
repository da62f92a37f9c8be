"""Both ends of the line between an engine and its front ends."""
