"""The fourteen examples of the client's documentation, run against a server."""
