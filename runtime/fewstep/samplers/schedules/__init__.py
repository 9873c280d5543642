"""Noise schedules: from a number of steps to the nodes that a sampler visits, one family a file."""
