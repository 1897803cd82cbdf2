"""Keystead: the self-hosted system for API keys."""

__version__ = "0.1.0"
