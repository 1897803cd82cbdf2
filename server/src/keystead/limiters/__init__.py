"""Counters of rate limits."""
