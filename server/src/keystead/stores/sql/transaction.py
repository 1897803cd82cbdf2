"""One unit of work on a connection."""

from sqlalchemy import Connection

from keystead.stores.sql.apis import SqlApis
from keystead.stores.sql.audit import SqlAudit
from keystead.stores.sql.data_keys import SqlDataKeys
from keystead.stores.sql.identities import SqlIdentities
from keystead.stores.sql.kept_answers import SqlKeptAnswers
from keystead.stores.sql.keys import SqlKeys
from keystead.stores.sql.permissions import SqlPermissions, SqlRoles
from keystead.stores.sql.queued_keys import SqlQueuedKeys
from keystead.stores.sql.ratelimits import SqlNamespaces, SqlOverrides
from keystead.stores.sql.touched import Touched
from keystead.stores.sql.workspaces import SqlWorkspaces


class SqlTransaction:
    """`ports.Transaction` on a connection whose begin and commit are the store's; `touched` says what it made stale."""

    def __init__(self, connection: Connection) -> None:
        self.touched = Touched()
        self.workspaces = SqlWorkspaces(connection, self.touched)
        self.apis = SqlApis(connection, self.touched)
        self.keys = SqlKeys(connection, self.touched)
        self.permissions = SqlPermissions(connection, self.touched)
        self.roles = SqlRoles(connection, self.touched)
        self.identities = SqlIdentities(connection, self.touched)
        self.namespaces = SqlNamespaces(connection, self.touched)
        self.overrides = SqlOverrides(connection, self.touched)
        self.data_keys = SqlDataKeys(connection)
        self.queued_keys = SqlQueuedKeys(connection)
        self.kept_answers = SqlKeptAnswers(connection)
        self.audit = SqlAudit(connection)
