"""The use cases the HTTP face answers with, gathered by `assembly.py`."""

from dataclasses import dataclass

from keystead.clock import Clock
from keystead.core.ids import RequestIds
from keystead.http.problems import Problems
from keystead.service.access import Access
from keystead.service.analytics import Analytics
from keystead.service.apis import Apis
from keystead.service.identities import Identities
from keystead.service.keys import Keys
from keystead.service.migrations import Migrations
from keystead.service.permissions import Permissions
from keystead.service.ratelimits import Ratelimits
from keystead.service.verification import Verification


@dataclass(frozen=True)
class Services:
    """One of each."""

    clock: Clock
    request_ids: RequestIds
    problems: Problems
    access: Access
    verification: Verification
    keys: Keys
    apis: Apis
    identities: Identities
    migrations: Migrations
    permissions: Permissions
    ratelimits: Ratelimits
    analytics: Analytics
