"""Keystead: the self-hosted system for API keys."""

