"""The page: a prompt, a seed, a picture, and how long it took."""

from typing import Any

from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline


def build_page(pipeline: Pipeline) -> Any:
    """A Gradio page around a loaded pipeline.

    Raises:
        FewstepError: Gradio is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise FewstepError(
            "expected gradio for the page, found none; install fewstep with the extra [jetson]"
        ) from error

    def draw(prompt: str, seed: float) -> tuple[Any, str]:
        """The picture and a line about it; what a user can cause is shown as a message."""
        try:
            picture = pipeline.generate(prompt, int(seed))
        except FewstepError as error:
            raise gradio.Error(str(error)) from None
        timings = pipeline.timings
        return picture, f"{timings.total * 1e3:.0f} ms, {timings.host_share:.0%} of it outside the graphs"

    manifest = pipeline.manifest
    examples = [[prompt, 0] for prompt in manifest.prompts.in_styles()[:6]]
    with gradio.Blocks(title=manifest.name, analytics_enabled=False) as page:
        gradio.Markdown(f"# {manifest.name}\n{pipeline.variant.name}, {pipeline.step_table().name}")
        prompt = gradio.Textbox(label="Prompt", max_lines=1)
        seed = gradio.Number(label="Seed", value=0, precision=0, minimum=0)
        button = gradio.Button("Draw", variant="primary")
        picture, said = gradio.Image(label="Picture", format="png"), gradio.Markdown()
        if examples:
            gradio.Examples(examples, [prompt, seed])
        with gradio.Accordion("Licences and credits", open=False):
            gradio.Markdown("\n".join(f"- {l.what}: {l.licence}, {l.credit}" for l in manifest.licences))
        gradio.on([button.click, prompt.submit], draw, [prompt, seed], [picture, said], api_name="draw")
    return page
