"""Demo apps that take a bundle, and the packager that builds them. Empty so far."""
