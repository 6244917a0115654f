"""The user's own functions and pipelines."""
