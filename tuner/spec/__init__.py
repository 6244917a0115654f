"""From sweep.toml to checked values."""
