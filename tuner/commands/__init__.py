"""Commands of the command line, a file per subject; cli.py hangs them up."""
