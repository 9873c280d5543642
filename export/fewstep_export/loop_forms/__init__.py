"""The sampler loop inside the graph: one step with its table row as an input, or all steps unrolled, from noise to pixels."""
