"""The wire types: requests and answers of every operation, as the contract words them.

Absent members are UNSET and left out of answers; None is JSON null, only where the contract allows it. Unknown members
of requests are dropped.
"""
