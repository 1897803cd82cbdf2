"""The use cases, shared by HTTP, command line and dashboard."""
