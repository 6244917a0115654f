"""The durable record of a sweep, and all that keeps it whole: journal or database, lock, storage, mirror, kept checkpoints."""
