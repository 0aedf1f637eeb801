"""Who may use the service: API keys, signed URLs, and where it may listen without keys.

Knows nothing of HTTP.
"""
