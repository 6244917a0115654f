"""A trial's process, from its start to its checkpoint."""
