"""Alembic's entry for the analytics database; `keystead.stores.migrate` hands the environment over."""

from alembic import context

context.config.attributes["run_environment"](context)
