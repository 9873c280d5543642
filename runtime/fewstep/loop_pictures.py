"""Whether a build with more of the loop inside its graphs draws what the same build draws with its loop on the host."""

import numpy as np

from fewstep.bundle import Bundle
from fewstep.fixed_feeds import fixed_prompts
from fewstep.pipeline import Pipeline
from fewstep.variant import Variant

HOST_PICTURES = "pictures_host"
"""What a variant says of it under `verification`."""


def host_of(bundle: Bundle, variant: Variant) -> Variant | None:
    """The variant that a form of the loop was made of: its name is the beginning of the form's; None if it is gone."""
    found = [
        v
        for v in bundle.manifest.variants
        if v.form == "host" and v.engine == variant.engine and variant.name.startswith(f"{v.name}-")
    ]
    return max(found, key=lambda v: len(v.name), default=None)


def pictures_apart(bundle: Bundle, variant: Variant, host: Variant) -> float:
    """The root mean square difference of one picture by both, from the same prompt and noise; pictures are in [0, 1].

    Raises:
        FewstepError: one of them cannot draw it.
    """
    prompt, own = fixed_prompts(bundle.manifest.prompts)[0], variant.loop.step_table
    table = bundle.manifest.step_tables[own or bundle.manifest.default_step_table]
    a, b = (Pipeline(bundle, v.name).generate_array([prompt], [0], table) for v in (variant, host))
    return float(np.sqrt(np.square(a - b).mean()))
