"""The history of the main database's schema: alembic's folder, run by `keystead.stores.migrate`."""
