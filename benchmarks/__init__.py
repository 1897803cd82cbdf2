"""What a verification costs beside nginx answering a constant: `make bench`.

Everything is compared within one run: the server and what it is compared with have one core, the load the other, and
their rounds alternate. Units are in the names and in the report; results worth keeping are in docs/performance.md.
"""
