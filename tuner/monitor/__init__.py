"""What people see meanwhile: the console and trackers."""
