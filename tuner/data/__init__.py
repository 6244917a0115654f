"""Where data come from and how they become numbers: sources, tables, encoders, splits, streams, and the sealed test split."""
