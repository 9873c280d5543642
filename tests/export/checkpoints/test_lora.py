"""LoRA files fused at export draw what diffusers draws with them beside the weights."""

from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from fewstep.errors import FewstepError
from fewstep_export.checkpoints import load_generator
from fewstep_export.checkpoints.folder import Folder, quiet
from fewstep_export.checkpoints.lean import LeanFolder
from fewstep_export.checkpoints.lean_lora import add_loras
from fewstep_export.checkpoints.lora import fuse_loras
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig, Lora
from fewstep_export.fixed_inputs import prompts_of
from fewstep_export.picture_loop import PictureTask, draw_torch, psnr


@pytest.fixture(scope="module")
def lora(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA file with random weights for U-Net and text encoder."""
    torch.manual_seed(3)
    pipeline, folder = Folder.open(checkpoint("sd1")).pipeline(), tmp_path_factory.mktemp("lora")
    projections = ["to_q", "to_k", "to_v", "to_out.0"]
    unet, text = (
        LoraConfig(r=rank, lora_alpha=2 * rank, init_lora_weights=False, target_modules=names)
        for rank, names in ((4, projections), (2, ["q_proj", "v_proj"]))
    )
    with quiet():
        pipeline.unet.add_adapter(unet)
        pipeline.text_encoder.add_adapter(text)
        diffusers.StableDiffusionPipeline.save_lora_weights(
            folder,
            unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
            text_encoder_lora_layers=get_peft_model_state_dict(pipeline.text_encoder),
        )
    return folder / "pytorch_lora_weights.safetensors"


def load(folder: Path, *loras: Lora) -> Generator:
    return load_generator(ExportConfig(str(folder), Path("unused.fewstep"), steps=3, loras=loras))


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_fused_weights_draw_like_layers_beside_them(
    scale: float, lora: Path, checkpoint: Callable[[str], Path]
) -> None:
    plain, fused = load(checkpoint("sd1")), load(checkpoint("sd1"), Lora(lora, scale))
    task = PictureTask(prompts_of(fused), fused.sampling.table(3), 3.0)
    found = draw_torch(fused, task)
    sampling = fused.sampling
    assert fused.reference is not None
    expected = fused.reference(task.prompts, type(sampling)(**{**vars(sampling), "steps": 3}), 3.0)
    assert psnr(found, expected) > 100
    assert psnr(found, draw_torch(plain, task)) < 50
    assert fused.checkpoint_sha256 != plain.checkpoint_sha256


@pytest.mark.parametrize("scales", [(1.0,), (0.4, -0.3)])
def test_weights_read_one_by_one_are_those_that_diffusers_fuses(
    scales: tuple[float, ...], lora: Path, checkpoint: Callable[[str], Path]
) -> None:
    path, loras = checkpoint("sd1"), [Lora(lora, scale) for scale in scales]
    fused, lean = fuse_loras(Folder.open(path), loras), add_loras(LeanFolder.open_lean(path), loras)
    changed = 0
    for part in ("unet", "text_encoder"):
        for name, value in fused.module(part).state_dict().items():
            np.testing.assert_allclose(lean.stored[part].read(name), value.numpy(), atol=1e-6)
            changed += bool(lean.stored[part].stored[name].changes)
    assert changed > 10
    assert lean.contents_sha256() == fused.sha256()


def test_a_file_for_another_model_is_refused(lora: Path, checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(FewstepError, match=r"expected a LoRA file .*pytorch_lora_weights\.safetensors"):
        load(checkpoint("sdxl"), Lora(lora))


def test_a_file_of_which_a_part_does_not_fit_is_refused(
    lora: Path, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    weights = load_file(lora)
    name = next(name for name in weights if name.startswith("unet") and name.endswith("lora_A.weight"))
    other = name.replace("unet.", "unet.elsewhere.")
    weights[other] = weights[name].clone()
    weights[other.replace("lora_A", "lora_B")] = weights[name.replace("lora_A", "lora_B")].clone()
    save_file(weights, tmp_path / "other.safetensors", metadata={"format": "pt"})
    with pytest.raises(FewstepError, match=r"expected a LoRA file .*other\.safetensors"):
        load(checkpoint("sd1"), Lora(tmp_path / "other.safetensors"))


def test_pickle_and_missing_files_are_refused(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match=r"found the pickle file lora\.bin"):
        load(checkpoint("sd1"), Lora(tmp_path / "lora.bin"))
    with pytest.raises(FewstepError, match=r"expected a LoRA file, found none, at .*no\.safetensors"):
        load(checkpoint("sd1"), Lora(tmp_path / "no.safetensors"))


def test_a_pipeline_that_takes_none_says_so(lora: Path, checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(FewstepError, match="expected a pipeline that takes LoRA files, found DiTPipeline"):
        load(checkpoint("dit"), Lora(lora))
