"""Writes golden_sampler_vectors.json and noise.json of tests/data, which the loops of every language are tested against.

    python tools/golden_samplers.py

A vector holds a step table, noise, and the latents after the first three rows (and the last) of a run on the toy network
that `NETWORK` describes. Noise is stored, not seeded. Everything is float32 in the order of `fewstep.loop`; a port that
rounds as it does agrees to the bit, but for the tanh of its own library.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fewstep.loop import Array, Edit, run
from fewstep.noise import gaussian
from fewstep.samplers.diffusers import Options, from_diffusers
from fewstep.step_table import StepTable

DATA = Path(__file__).parent.parent / "tests" / "data"
MADE_BY = "python tools/golden_samplers.py"
SHAPE, SEED = (1, 2, 3, 3), 20
NOISE = ((0, 0, 10), (7, 0, 10), (7, 1, 10), (2**32 + 5, 2**33 + 1, 6), (2**64 - 1, 2**64 - 1, 6))
NETWORK = (
    "m = tanh(0.5 * y + timestep / 1000), y the input with its last axis reversed; every operation in float32"
)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
CONFIGS: Mapping[str, tuple[dict[str, object], int]] = {
    "flow-euler": ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, 5),
    "flow-dpm++2m": ({"_class_name": "DPMSolverMultistepScheduler", **FLOW}, 6),
    "flow-sde-dpm++2m": ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", **FLOW}, 6),
    "flow-lcm": ({"_class_name": "FlowMatchLCMScheduler", "shift": 3.0}, 4),
    "flow-heun": ({"_class_name": "FlowMatchHeunDiscreteScheduler", "shift": 3.0}, 4),
    "ddim-v": ({"_class_name": "DDIMScheduler", "clip_sample": False, "prediction_type": "v_prediction", **SD}, 5),
    "ddpm": ({"_class_name": "DDPMScheduler", "clip_sample": False, **SD}, 5),
    "dpm++3m": ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3, **SD}, 8),
    "dpm++2s": ({"_class_name": "DPMSolverSinglestepScheduler", **SD}, 7),
    "deis3": ({"_class_name": "DEISMultistepScheduler", "solver_order": 3, **SD}, 8),
    "unipc3-v": ({"_class_name": "UniPCMultistepScheduler", "solver_order": 3, "prediction_type": "v_prediction", **SD}, 8),
    "euler-ancestral": ({"_class_name": "EulerAncestralDiscreteScheduler", **SD}, 5),
    "plms": ({"_class_name": "PNDMScheduler", "skip_prk_steps": True, **SD}, 7),
    "lcm": ({"_class_name": "LCMScheduler"}, 4),
    "tcd": ({"_class_name": "TCDScheduler"}, 4),
    "scm": ({"_class_name": "SCMScheduler"}, 2),
}  # fmt: skip


def network(x: Array, timestep: float) -> Array:
    """The toy network of NETWORK."""
    output: Array = np.tanh(np.float32(0.5) * x[..., ::-1] + np.float32(timestep / 1000))
    return output


def vector(name: str, table: StepTable, edit: Edit | None = None) -> dict[str, object]:
    """One golden vector; values are flat, in C order."""
    draws = [gaussian(SHAPE, SEED, stream) for stream in range(len(table.rows) + 1)]
    latents = {i: _flat(x) for i, x in run(table, lambda stream: draws[stream], network, edit)}
    last = len(table.rows) - 1
    first = last + 1 - len(latents)
    used = [0, *(i + 1 for i, row in enumerate(table.rows) if row.noise and i >= first)]
    found: dict[str, object] = {
        "name": name,
        "table": table.to_dict(),
        "noise": {str(stream): _flat(draws[stream]) for stream in used},
        "latents": {str(i): latents[i] for i in sorted({*range(first, min(first + 3, last + 1)), last})},
    }
    if edit is not None:
        mask = None if edit.mask is None else _flat(edit.mask)
        found["edit"] = {"image": _flat(edit.image), "strength": edit.strength, "mask": mask}
    return found


def vectors() -> dict[str, object]:
    """The whole file."""
    tables = {name: from_diffusers(config, steps, Options()) for name, (config, steps) in CONFIGS.items()}
    image, mask = gaussian(SHAPE, SEED, 99), np.zeros(SHAPE, np.float32)
    mask[..., 1:] = 1
    edited = [
        vector(f"{name}, {what}", tables[name], edit)
        for name in ("flow-dpm++2m", "flow-sde-dpm++2m", "unipc3-v")
        for what, edit in (("from a picture", Edit(image, 0.7)), ("in part", Edit(image, 1.0, mask)))
    ]
    return {
        "made_by": MADE_BY,
        "shape": SHAPE,
        "network": NETWORK,
        "tolerance": 1e-5,
        "vectors": [*(vector(name, table) for name, table in tables.items()), *edited],
    }


def noise() -> dict[str, object]:
    """The numbers of `fewstep.noise` for some seeds and streams, which a port computes itself."""
    return {
        "definition": "runtime/fewstep/noise.py; seed and stream are texts because they do not fit a JavaScript number",
        "made_by": MADE_BY,
        "cases": [
            {"seed": str(seed), "stream": str(stream), "values": _flat(gaussian((count,), seed, stream))}
            for seed, stream, count in NOISE
        ],
    }


def _flat(x: Array) -> list[float]:
    """The shortest decimals that give the float32 numbers back."""
    return [float(str(v)) for v in x.ravel()]


def main() -> None:
    """Writes both files."""
    value = vectors()
    lines = ",\n".join(json.dumps(v, separators=(",", ":")) for v in value.pop("vectors"))  # type: ignore[attr-defined]
    head = json.dumps(value)[:-1]
    text = f'{head}, "vectors": [\n{lines}\n]}}\n'
    (DATA / "golden_sampler_vectors.json").write_text(text, encoding="utf-8")
    (DATA / "noise.json").write_text(json.dumps(noise(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
