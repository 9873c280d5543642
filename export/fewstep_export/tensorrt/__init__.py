"""What goes between an exported graph and `fewstep.tensorrt`: eight-bit nodes, and the check that what was asked in FP16 is in FP16."""
