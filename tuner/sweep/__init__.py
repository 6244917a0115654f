"""The journey of a sweep from its spec to its report, and what it will take."""
