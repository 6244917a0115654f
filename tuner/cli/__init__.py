"""The command line: a file per subject."""
