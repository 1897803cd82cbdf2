"""Crash runs on the real thing: real processes, real clients, `kill -9` at random moments, and a ledger.

`python -m proof.crash --runs 100` kills a server under load a hundred times and compares what clients were answered
with what the server knows after each restart; some runs end with SIGTERM instead, some record histories of hot keys
that are checked for linearizability. `runs` has the ways to end a server, `books` and `pages` the ledger, `files` what
must be true of the files in between.
"""
