"""Lower precision for exported graphs: INT8 and 4-bit builds, measured before they are shipped. FP16 is made by ``fewstep_export``."""
