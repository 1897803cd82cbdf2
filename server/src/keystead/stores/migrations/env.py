"""Alembic's entry for the main database; `keystead.stores.migrate` hands the environment over."""

from alembic import context

context.config.attributes["run_environment"](context)
