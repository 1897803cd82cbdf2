"""The history of the main database's schema: alembic's folder, run by `keystead.stores.migrate`."""

HEAD = "0003"
"""The newest revision; here as a constant because asking alembic costs its import at every start."""
