"""Rewrites of exported FP32 graphs, one a file; all but those of ``schemes`` keep the function that the graph computes."""
