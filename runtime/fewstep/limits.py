"""How much a reader of bundles takes; docs/bundle.md gives the reasons.

A manifest is written by a stranger. Everything that it can ask memory or time for is bounded here, far above what real models need.
"""

JSON_BYTES = 64 << 20
"""Of any JSON file."""
MANIFEST_BYTES = 4 << 20
"""Of a manifest; parsing takes up to 30 times as much memory."""
JSON_DEPTH = 32
"""Of arrays and objects inside each other; a manifest has 8."""
FILES = 10_000
PATH_BYTES = 240
"""Of a path inside the bundle, in UTF-8; many systems take no name above 255."""
BUNDLE_BYTES = 64 << 30
"""Of all files together."""
VARIANTS = 256
RANK = 16
"""Dimensions of a tensor."""
TENSOR_ELEMENTS = 1 << 31
"""Of a tensor at batch 1."""
LATENT_ELEMENTS = 1 << 26
"""Of one picture's latents: 16 x 2048 x 2048."""
IMAGE_SIDE = 16_384
ROWS = 10_000
"""Of a step table, and steps that one is compiled for."""
KEPT_ARRAYS = 64
"""Latent-sized arrays that a step table keeps."""
TRAIN_TIMESTEPS = 100_000
"""Of a scheduler's schedule."""
TOKENS = 65_536
"""Of a prompt."""
TOKENIZER_BYTES = 64 << 20
PROMPT_CHARACTERS = 100_000
ARCHIVE_RATIO = 200
"""Bytes out for a byte of a zip archive: weights give 1 to 2, a bomb gives 1,000."""
ARCHIVE_DIRECTORY_BYTES = 16 << 20
"""Of the central directory of a zip archive."""
GRAPH_DEPTH = 16
"""Of ONNX graphs inside each other (bodies of If, Loop and Scan)."""
GRAPH_MESSAGES = 4_000_000
"""Fields that are looked at in an ONNX graph."""
