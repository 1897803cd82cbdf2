"""Addresses (sdk.md section 5)."""

from __future__ import annotations


def remove_suffix(input_string: str, suffix: str) -> str:
    """The string without the suffix, once."""
    return input_string.removesuffix(suffix)


def template_url(url_with_params: str, params: dict[str, str]) -> str:
    """The address with each `{name}` replaced by the value of that name."""
    for name, value in params.items():
        url_with_params = url_with_params.replace("{" + name + "}", value)
    return url_with_params
