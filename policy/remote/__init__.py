"""A base policy that computes on another machine: the wire, what is asked over it, both ends without their sockets."""
