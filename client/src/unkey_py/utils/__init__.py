"""Retry settings and the logger's type; what else the published package kept here served its generator."""

from unkey_py.utils.logger import Logger, get_body_content, get_default_logger
from unkey_py.utils.retries import BackoffStrategy, Retries, RetryConfig
from unkey_py.utils.url import remove_suffix, template_url

__all__ = [
    "BackoffStrategy",
    "Logger",
    "Retries",
    "RetryConfig",
    "get_body_content",
    "get_default_logger",
    "remove_suffix",
    "template_url",
]
