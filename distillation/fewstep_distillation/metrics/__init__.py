"""How good generated pictures are: one metric a file, and `evaluate`, which runs them all."""
