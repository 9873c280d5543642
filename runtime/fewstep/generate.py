"""Drawing a list of prompts with a progress bar, and saving the pictures; the body of `fewstep generate`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fewstep import atomic
from fewstep.errors import FewstepError
from fewstep.image import contact_sheet, png_bytes
from fewstep.pipeline import Pipeline, Timings
from fewstep.sizes import Size
from fewstep.step_table import StepTable

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Request:
    """What to draw: prompt number k takes the noise of seed + k; None takes the bundle's guidance, negative prompt and size."""

    prompts: tuple[str, ...]
    seed: int
    table: StepTable
    guidance: float | None = None
    negative_prompt: str | None = None
    size: Size | None = None

    def __post_init__(self) -> None:
        if not self.prompts:
            raise FewstepError("expected at least one prompt, found none; give a prompt or --examples")


@dataclass(frozen=True)
class Drawing:
    """One picture with the prompt, the seed and the times that made it."""

    picture: "Image"
    prompt: str
    seed: int
    timings: Timings

    def to_dict(self) -> Mapping[str, object]:
        """Facts of the drawing for `--json`; times are in seconds."""
        components = {name: sum(calls) for name, calls in self.timings.calls.items()}
        seconds = {"total": self.timings.total, **components}
        return {
            "prompt": self.prompt,
            "seed": self.seed,
            "seconds": seconds,
            **({"fell_back": self.timings.fell_back} if self.timings.fell_back else {}),
            "host_share": self.timings.host_share,
        }


def draw(pipeline: Pipeline, request: Request) -> list[Drawing]:
    """Draws the prompts one after another, with a progress bar on standard error."""
    from fewstep.progress import progress_bar

    drawings = []
    with progress_bar() as progress:
        task = progress.add_task("drawing", total=len(request.prompts) * len(request.table.rows))
        for k, prompt in enumerate(request.prompts):
            picture = pipeline.generate(
                prompt,
                request.seed + k,
                request.table,
                request.guidance,
                request.negative_prompt,
                on_step=lambda _i, _latents: progress.advance(task),
                size=request.size,
            )
            if why := pipeline.timings.fell_back:
                progress.console.print(f"drawn by the FP32 graphs: {why}", soft_wrap=True, markup=False)
            drawings.append(Drawing(picture, prompt, request.seed + k, pipeline.timings))
    return drawings


def save(drawings: Sequence[Drawing], output: Path, columns: int | None = None) -> list[Path]:
    """Writes the pictures and returns the files: `output`, or OUTPUT-0.png and so on if there are several.

    With `columns` all pictures go on one contact sheet. Each file is written whole or not at all.
    """
    pictures = [drawing.picture for drawing in drawings]
    if columns is not None:
        pictures = [
            contact_sheet(pictures, [drawing.prompt for drawing in drawings], min(columns, len(pictures)))
        ]
    files = (
        [output]
        if len(pictures) == 1
        else [output.with_stem(f"{output.stem}-{k}") for k in range(len(pictures))]
    )
    for picture, file in zip(pictures, files, strict=True):
        atomic.write_bytes(file, png_bytes(picture))
    return files
