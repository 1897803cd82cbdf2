"""The statements of the main database, in SQLAlchemy Core, for every engine."""
