"""Native checkpoints: what is saved is what is read; what is damaged is refused in one sentence."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fewstep.errors import FewstepError
from fewstep_models import zoo
from fewstep_models.autoencoder import Autoencoder, AutoencoderConfig
from fewstep_models.block_removal import shortened_config
from fewstep_models.checkpoint import (
    Checkpoint,
    CheckpointConfig,
    LatentStatistics,
    digest,
    load_autoencoder,
    lora_file,
    save_autoencoder,
    save_weights,
    write_config,
)
from fewstep_models.diffussm import DiffuSSMConfig
from fewstep_models.sana import SanaConfig, SanaDenoiser


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    autoencoder = AutoencoderConfig(widths=(8, 32), encoder_blocks=(1, 1), decoder_blocks=(1, 1))
    denoiser = SanaConfig(width=32, depth=1, head_channels=8, cross_head_channels=16, text_dim=12, size=4)
    statistics = LatentStatistics((2.0,) * 8, (0.5,) * 8)
    config = CheckpointConfig("tiny", autoencoder, denoiser, statistics, styles=("flat",), image_size=8)
    return Checkpoint(config, Autoencoder(autoencoder), SanaDenoiser(denoiser))


def test_save_then_load_gives_the_same_values_in_half_precision(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    checkpoint.save(tmp_path)
    loaded = Checkpoint.load(tmp_path)
    assert loaded.config == checkpoint.config
    for name, value in checkpoint.denoiser.state_dict().items():
        torch.testing.assert_close(loaded.denoiser.state_dict()[name], value.half().float(), atol=0, rtol=0)
    first = digest(tmp_path)
    loaded.save(tmp_path)
    assert digest(tmp_path) == first


def test_words_are_kept_and_read_where_the_autoencoder_is(checkpoint: Checkpoint, tmp_path: Path) -> None:
    dataclasses.replace(checkpoint, words=("a", "heart")).save(tmp_path / "teacher")
    assert Checkpoint.load(tmp_path / "teacher").words == ("a", "heart")
    student = dataclasses.replace(checkpoint.config, weights={"autoencoder": "teacher"})
    (tmp_path / "student").mkdir()
    save_weights(checkpoint.denoiser, tmp_path / "student/denoiser.safetensors")
    write_config(student, tmp_path / "student")
    assert Checkpoint.load(tmp_path / "student").words == ("a", "heart")


def test_latent_statistics_undo_each_other() -> None:
    statistics = LatentStatistics((2.0, 0.5), (1.0, -3.0))
    z = torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(statistics.restore(statistics.normalise(z)), z)
    torch.testing.assert_close(statistics.normalise(z)[:, 1], (z[:, 1] + 3) * 0.5)


def test_autoencoder_alone_can_be_saved(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_autoencoder(checkpoint.autoencoder, tmp_path)
    assert load_autoencoder(tmp_path).config == checkpoint.autoencoder.config


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "expected a checkpoint with model.json"),
        (lambda folder: (folder / "model.json").write_text("{"), "cannot read .*model.json"),
        (lambda folder: (folder / "denoiser.safetensors").write_bytes(b"short"), "cannot read the weights"),
        (lambda folder: (folder / "denoiser.safetensors").unlink(), "cannot read the weights"),
    ],
)
def test_damage_is_named(checkpoint: Checkpoint, tmp_path: Path, damage: object, message: str) -> None:
    checkpoint.save(tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(FewstepError, match=message):
        Checkpoint.load(tmp_path)


def test_weights_of_another_size_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint.save(tmp_path)
    assert isinstance(checkpoint.config.denoiser, SanaConfig)
    config = dataclasses.replace(
        checkpoint.config, denoiser=dataclasses.replace(checkpoint.config.denoiser, depth=2)
    )
    (tmp_path / "model.json").write_text(json.dumps(config.to_json()))
    with pytest.raises(FewstepError, match=r"do not fit model.json"):
        Checkpoint.load(tmp_path)


def test_values_beyond_half_precision_are_not_written(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(module.weight, 1e6)
    with pytest.raises(ValueError, match="weight does not fit FP16"):
        save_weights(module, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_every_kind_of_backbone_can_be_kept(checkpoint: Checkpoint, tmp_path: Path) -> None:
    denoiser = DiffuSSMConfig(size=4, width=32, depth=1, chunk=8, cross_head_channels=16, text_dim=12)
    config = dataclasses.replace(checkpoint.config, denoiser=denoiser)
    first = Checkpoint(config, checkpoint.autoencoder, denoiser.build())
    first.save(tmp_path)
    loaded = Checkpoint.load(tmp_path)
    assert loaded.config == config
    frequency, w_up = "blocks.0.ssm.frequency", "blocks.0.w_up.weight"
    ours, theirs = loaded.denoiser.state_dict(), first.denoiser.state_dict()
    torch.testing.assert_close(ours[frequency], theirs[frequency], atol=0, rtol=0)  # FP32
    torch.testing.assert_close(ours[w_up], theirs[w_up].half().float(), atol=0, rtol=0)


def test_a_student_has_the_autoencoder_of_the_checkpoint_beside_it(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    checkpoint.save(tmp_path / "teacher")
    student = tmp_path / "student"
    student.mkdir()
    config = dataclasses.replace(checkpoint.config, name="student", weights={"autoencoder": "teacher"})
    save_weights(checkpoint.denoiser, student / "denoiser.safetensors")
    write_config(config, student)
    loaded = Checkpoint.load(student)
    assert loaded.config == config
    for name, value in checkpoint.autoencoder.state_dict().items():
        torch.testing.assert_close(
            loaded.autoencoder.state_dict()[name], value.half().float(), atol=0, rtol=0
        )
    before = digest(student)
    (tmp_path / "teacher" / "autoencoder.safetensors").write_bytes(b"other weights")
    assert digest(student) != before


def test_a_lora_is_added_to_the_weights_of_the_checkpoint_beside_it(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    checkpoint.save(tmp_path / "base")
    folder, name = tmp_path / "lora", "blocks.0.attention.to_qkv.weight"
    folder.mkdir()
    config = dataclasses.replace(
        checkpoint.config, weights={"autoencoder": "base", "denoiser": "base"}, loras=("denoiser",)
    )
    write_config(config, folder)
    with pytest.raises(FewstepError, match="cannot read the LoRA"):
        Checkpoint.load(folder)
    before = checkpoint.denoiser.state_dict()
    rows, columns = before[name].shape[:2]
    tensors = {name + ".down": torch.ones(2, columns), name + ".up": torch.full((rows, 2), 0.5)}
    save_file(
        tensors | {"proj_out.bias": torch.full_like(before["proj_out.bias"], 3.0)},
        lora_file(folder, "denoiser"),
    )
    loaded = Checkpoint.load(folder)
    after = loaded.denoiser.state_dict()
    assert torch.equal(after[name], (before[name].half().float() + 1.0).half().float())
    assert (after["proj_out.bias"] == 3.0).all()
    same = set(before) - {name, "proj_out.bias"}
    assert all(torch.equal(after[key], before[key].half().float()) for key in same)
    loaded.save(tmp_path / "whole")
    whole = Checkpoint.load(tmp_path / "whole")
    assert whole.config.loras == ()
    assert all(torch.equal(value, after[key]) for key, value in whole.denoiser.state_dict().items())
    first = digest(folder)
    save_file(tensors, lora_file(folder, "denoiser"))
    assert digest(folder) != first
    save_file({"elsewhere.down": torch.ones(2, 2)}, lora_file(folder, "denoiser"))
    with pytest.raises(FewstepError, match=r"do not fit model.json"):
        Checkpoint.load(folder)


def test_blocks_of_another_denoiser(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "base")
    depth = getattr(checkpoint.config.denoiser, "depth", 0)
    kept = (depth - 1, 0)
    folder = tmp_path / "short"
    folder.mkdir()
    beside = {"autoencoder": "base", "denoiser": "base"}
    small = shortened_config(checkpoint.config.denoiser, kept)
    config = dataclasses.replace(checkpoint.config, denoiser=small, weights=beside, blocks=kept)
    write_config(config, folder)
    loaded = Checkpoint.load(folder)
    assert loaded.config == config
    before, after = checkpoint.denoiser.state_dict(), loaded.denoiser.state_dict()
    for new, old in enumerate(kept):
        name = ".attention.to_qkv.weight"
        assert torch.equal(after[f"blocks.{new}{name}"], before[f"blocks.{old}{name}"].half().float())
    loaded.save(tmp_path / "whole")
    assert Checkpoint.load(tmp_path / "whole").config.blocks == ()
    with pytest.raises(ValueError, match="expected a block of another checkpoint's denoiser for each"):
        dataclasses.replace(config, blocks=(0,))
    with pytest.raises(ValueError, match="expected blocks of a 'sana'"):
        shortened_config(checkpoint.config.denoiser, (depth,))


def test_a_saved_checkpoint_holds_all_its_weights(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shared = dataclasses.replace(checkpoint.config, weights={"autoencoder": "teacher"})
    dataclasses.replace(checkpoint, config=shared).save(tmp_path)
    assert Checkpoint.load(tmp_path).config == checkpoint.config


@pytest.mark.parametrize(
    "weights",
    [
        {"autoencoder": "../elsewhere"},
        {"autoencoder": ""},
        {"autoencoder": ".."},
        {"text_encoder": "teacher"},
    ],
)
def test_weights_from_elsewhere_are_refused(
    checkpoint: Checkpoint, tmp_path: Path, weights: dict[str, str]
) -> None:
    checkpoint.save(tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text()) | {"weights": weights}
    (tmp_path / "model.json").write_text(json.dumps(facts))
    with pytest.raises(
        FewstepError, match="expected weights of autoencoder or denoiser by the name of a folder"
    ):
        Checkpoint.load(tmp_path)


def test_zoo_names_and_paths_resolve() -> None:
    assert "emoji-128" in zoo.names()
    folder = zoo.resolve("emoji-128")
    assert zoo.resolve(str(folder)) == folder
    with pytest.raises(
        FewstepError, match=r"expected a zoo name \(emoji-128.*\) or a checkpoint folder, found nothing"
    ):
        zoo.resolve("no-such-model")


def test_shipped_checkpoint_loads_and_is_half_precision() -> None:
    checkpoint = Checkpoint.load(zoo.resolve("emoji-128"))
    assert checkpoint.config.name == "emoji-128"
    assert all(torch.equal(p, p.half().float()) for p in checkpoint.denoiser.parameters())
