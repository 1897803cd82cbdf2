from unkey_py import analytics as analytics
from unkey_py import apis as apis
from unkey_py import basesdk as basesdk
from unkey_py import httpclient as httpclient
from unkey_py import identities as identities
from unkey_py import keys as keys
from unkey_py import liveness as liveness
from unkey_py import migrations as migrations
from unkey_py import models as models
from unkey_py import permissions as permissions
from unkey_py import ratelimit as ratelimit
from unkey_py import ratelimits as ratelimits
from unkey_py import sdk as sdk
from unkey_py import sdkconfiguration as sdkconfiguration
from unkey_py import types as types
from unkey_py import utils as utils
from unkey_py._version import __gen_version__ as __gen_version__
from unkey_py._version import __openapi_doc_version__ as __openapi_doc_version__
from unkey_py._version import __title__ as __title__
from unkey_py._version import __user_agent__ as __user_agent__
from unkey_py._version import __version__ as __version__
from unkey_py.analytics import Analytics as Analytics
from unkey_py.apis import Apis as Apis
from unkey_py.basesdk import BaseSDK as BaseSDK
from unkey_py.httpclient import AsyncHttpClient as AsyncHttpClient
from unkey_py.httpclient import HttpClient as HttpClient
from unkey_py.identities import Identities as Identities
from unkey_py.keys import Keys as Keys
from unkey_py.liveness import Liveness as Liveness
from unkey_py.migrations import Migrations as Migrations
from unkey_py.models import *
from unkey_py.permissions import Permissions as Permissions
from unkey_py.ratelimit import Ratelimit as Ratelimit
from unkey_py.ratelimits import Ratelimits as Ratelimits
from unkey_py.sdk import Unkey as Unkey
from unkey_py.sdkconfiguration import SERVERS as SERVERS
from unkey_py.sdkconfiguration import SDKConfiguration as SDKConfiguration
from unkey_py.types import UNSET as UNSET
from unkey_py.types import OptionalNullable as OptionalNullable
from unkey_py.utils import Logger as Logger
from unkey_py.utils import RetryConfig as RetryConfig

VERSION: str
OPENAPI_DOC_VERSION: str
SPEAKEASY_GENERATOR_VERSION: str
USER_AGENT: str
