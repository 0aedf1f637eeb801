"""Everything that touches Ray's and Serve's private parts, and nothing else does: one place to look at when
Ray's version changes. Knows nothing of tasks.
"""
