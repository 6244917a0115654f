"""Whole sweeps under fire: real sweeps on tiny data, in which things are killed, torn, filled and hung at random moments, then run until done."""
