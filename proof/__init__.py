"""What shows that Keystead keeps its promises: simulation, crashes, hostile input, soak and scale (docs/guarantees.md).

Each module is a command of its own (`python -m proof.<name>`, `make <name>`) that ends with one line of summary.
"""
