"""Constants of the published release whose interface and behaviour this client has (sdk.md sections 1 and 7).

`importlib.metadata.version("unkey.py")` tells the version of this distribution.
"""

__title__ = "unkey.py"
__version__ = "0.10.0"
__openapi_doc_version__ = "1.0.0"
__gen_version__ = "2.597.9"
__user_agent__ = f"speakeasy-sdk/python {__version__} {__gen_version__} {__openapi_doc_version__} {__title__}"
