"""What the activations of a graph are on the way that the shipped sampler takes, and which range of them 8 bits should cover."""
