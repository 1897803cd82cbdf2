"""unkey_py."""
