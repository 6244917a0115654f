"""Which rows train, which validate, and which are sealed."""
