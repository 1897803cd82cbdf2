"""The history of the analytics database's schema: alembic's folder, run by `keystead.stores.migrate`."""
