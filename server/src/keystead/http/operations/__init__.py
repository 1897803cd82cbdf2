"""The table of operations: everything the API can do, as data.

Routing, decoding, authentication, the OpenAPI document, its page and the completeness tests are driven by it. An entry
and a function of a service make an operation.
"""

from keystead.http.operations.analytics import ANALYTICS
from keystead.http.operations.apis import APIS
from keystead.http.operations.entry import GET, POST, Needs, Operation
from keystead.http.operations.identities import IDENTITIES
from keystead.http.operations.keys import KEYS, VERIFY_KEY
from keystead.http.operations.liveness import LIVENESS
from keystead.http.operations.migrations import MIGRATIONS
from keystead.http.operations.permissions import PERMISSIONS
from keystead.http.operations.ratelimits import LIMIT, RATELIMITS

OPERATIONS: tuple[Operation, ...] = (
    *KEYS,
    *APIS,
    *PERMISSIONS,
    *IDENTITIES,
    *RATELIMITS,
    *MIGRATIONS,
    ANALYTICS,
    LIVENESS,
)
"""Every operation, in the order of the documentation."""

__all__ = ["GET", "LIMIT", "OPERATIONS", "POST", "VERIFY_KEY", "Needs", "Operation"]
