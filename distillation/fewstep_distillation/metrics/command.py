"""The command `fewstep evaluate`; heavy imports wait until it runs."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Zoo name, checkpoint folder or bundle.", show_default=False),
    ],
    data: Annotated[Path, typer.Option(help="Folder of `fewstep data build emoji`.")] = Path(
        "data/emoji-128"
    ),
    n: Annotated[
        int, typer.Option(help="Pictures to draw; fixes the prompts together with the seed.")
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Of prompts and noise; picture k takes seed + k.")] = 0,
    split: Annotated[str, typer.Option(help="Prompts: all, held-out, train, zero or compose.")] = "all",
    steps: Annotated[int | None, typer.Option(help="Evaluations of the network.", show_default=False)] = None,
    guidance: Annotated[float | None, typer.Option(help="Scale; 1 is off.", show_default=False)] = None,
    sampler: Annotated[
        str | None, typer.Option(help="Such as flow-euler; see docs/samplers.md.", show_default=False)
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Build of a bundle.", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="For a checkpoint: cpu or cuda.")] = "cpu",
    precision: Annotated[str, typer.Option(help="For a checkpoint: fp32 or bf16.")] = "fp32",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the whole report.", show_default=False)
    ] = None,
) -> None:
    """Judge the pictures of SOURCE: distance to real ones, fit to the text, unseen pairs, copies; the same call, the same figures."""
    import json

    from fewstep import atomic
    from fewstep.progress import progress_bar
    from fewstep_distillation.data.dataset import EmojiDataset
    from fewstep_distillation.metrics.evaluate import Evaluator
    from fewstep_distillation.metrics.prompts import EvaluateConfig
    from fewstep_distillation.metrics.sources import SamplingChoice, open_generator
    from fewstep_distillation.metrics.summary import summary

    config = EvaluateConfig(n, seed, split)  # type: ignore[arg-type]  # checked by the class
    choice = SamplingChoice(sampler, steps, guidance, variant, device, precision)  # type: ignore[arg-type]
    dataset, generator = EmojiDataset(data), open_generator(source, choice)
    with progress_bar() as progress:
        tasks = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        report = Evaluator(dataset, on_progress=on_progress).evaluate(generator, config)
    if json_file is not None:
        atomic.write_bytes(json_file, (json.dumps(report.to_dict(), indent=1) + "\n").encode())
    typer.echo(summary(report))
