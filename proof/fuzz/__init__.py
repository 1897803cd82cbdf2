"""Hostile input: a hundred thousand cases that must neither break, nor stop, nor fool, nor bloat the server.

* `grammar` makes streams of bytes: well-formed requests and what it mutates them into; `cases` cuts and ends them.
* `reading` is the reference: how RFC 9112 reads a stream, strictly.
* `answers` reads what came back, strictly; `judge` compares the two.
* `conversation` holds the two ways to a server: the protocol class without sockets, and a process behind real ones.
* `bodies` asks two servers in lockstep, one by the hot lanes, one by the router; `values` draws from wire types.
* `operations` asks every operation with such values, `described` with what schemathesis makes of the OpenAPI document.
* `scene` is what the servers hold, and what is looked for in them; `watch` looks at memory, files and the log.
* `run` puts it together, `__main__` is the command: `python -m proof.fuzz --seed 7 --cases 100000`, or `--case 42`.
"""
