"""The pure middle: decisions as functions of their arguments, without I/O, clock or randomness."""
