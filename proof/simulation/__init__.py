"""The whole server in one process under a seeded scheduler, with virtual time (docs/simulation.md)."""
