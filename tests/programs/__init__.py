"""Programs as people write them, each run from the search to predictions."""
