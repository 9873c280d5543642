"""`fewstep join`: the Core ML packages of several bundles, equal weights once."""
