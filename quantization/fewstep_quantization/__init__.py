"""Lower precision for exported graphs. Empty so far: FP16 is made by ``fewstep_export``; INT8 and 4-bit come here."""
