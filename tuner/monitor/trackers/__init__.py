"""Trackers: where people already look at experiments, each fed by a process beside the driver."""
