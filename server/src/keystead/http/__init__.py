"""The HTTP face: protocol, hot lane, router, wire types."""
