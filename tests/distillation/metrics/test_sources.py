from pathlib import Path

import pytest
import torch

from fewstep.errors import FewstepError
from fewstep_distillation.metrics.sources import SamplingChoice, open_generator
from fewstep_models.checkpoint import Checkpoint


def test_neither_bundle_nor_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match="expected a zoo name"):
        open_generator(str(tmp_path), SamplingChoice())


def test_a_checkpoint_has_no_variants(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint.save(tmp_path)
    with pytest.raises(FewstepError, match="--variant for a bundle alone"):
        open_generator(str(tmp_path), SamplingChoice(variant="fp16"))


def test_a_bundle_has_no_device(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(FewstepError, match="for a checkpoint alone"):
        open_generator(str(tmp_path), SamplingChoice(precision="bf16"))


def test_bad_choices() -> None:
    with pytest.raises(FewstepError, match="fp32 or bf16"):
        SamplingChoice(precision="int8")  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(FewstepError, match="found none on this machine"):
            SamplingChoice(device="cuda")
