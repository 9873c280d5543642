"""Folders of the real diffusers pipelines, with random weights and so small that they are exported in seconds."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import diffusers
import sentencepiece
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

SIZE = 32  # pixels of a picture's side, where the pipeline lets us choose
CLIP = {
    "vocab_size": 514, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 3,
    "max_position_embeddings": 77, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513,
}  # fmt: skip


def clip_tokenizer(folder: Path) -> transformers.CLIPTokenizer:
    """CLIP's tokenizer with letters for a vocabulary, and no merges."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def clip(width: int = 32) -> transformers.CLIPTextModel:
    """CLIP's text encoder."""
    return transformers.CLIPTextModel(transformers.CLIPTextConfig(hidden_size=width, **CLIP))


def clip_with_projection(width: int = 32) -> transformers.CLIPTextModelWithProjection:
    """CLIP's text encoder with a projection of the whole text."""
    config = transformers.CLIPTextConfig(hidden_size=width, projection_dim=24, hidden_act="gelu", **CLIP)
    return transformers.CLIPTextModelWithProjection(config)


def kl_vae(levels: int = 2, **options: object) -> diffusers.AutoencoderKL:
    """The KL-VAE with a factor of 2^(levels - 1)."""
    return diffusers.AutoencoderKL(
        block_out_channels=[16] * (levels - 1) + [32],
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        latent_channels=4,
        norm_num_groups=8,
        **options,
    )


def unet(**options: object) -> diffusers.UNet2DConditionModel:
    """The U-Net with two levels; latents of 16 x 16."""
    return diffusers.UNet2DConditionModel(
        **{
            "block_out_channels": (16, 32), "layers_per_block": 1, "sample_size": SIZE // 2, "norm_num_groups": 8,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": 32, "attention_head_dim": 2, **options,
        }
    )  # fmt: skip


def stable_diffusion(
    folder: Path, scheduler: diffusers.SchedulerMixin | None = None, **options: object
) -> Path:
    """Stable Diffusion 1.x; `options` are the U-Net's."""
    scheduler = scheduler or diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    torch.manual_seed(0)
    pipeline = diffusers.StableDiffusionPipeline(
        vae=kl_vae(),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        unet=unet(**options),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return save(pipeline, folder)


def stable_diffusion_xl(
    folder: Path, scheduler: diffusers.SchedulerMixin | None = None, **options: object
) -> Path:
    """SDXL; `options` are the U-Net's."""
    scheduler = scheduler or diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )
    torch.manual_seed(0)
    sizes = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=kl_vae(scaling_factor=0.13025),
        text_encoder=clip(),
        text_encoder_2=clip_with_projection(16),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        tokenizer_2=clip_tokenizer(folder / "vocabulary_2"),
        unet=unet(
            cross_attention_dim=48, projection_class_embeddings_input_dim=24 + 6 * 8, use_linear_projection=True,
            transformer_layers_per_block=(1, 2), **sizes, **options,
        ),
        scheduler=scheduler,
    )  # fmt: skip
    return save(pipeline, folder)


def t5_tokenizer(folder: Path) -> transformers.T5Tokenizer:
    """T5's tokenizer from a sentencepiece model, as PixArt has it: transformers converts it."""
    folder.mkdir(parents=True)
    sentences = ["a red heart", "a smiling cat", "the quick brown fox jumps over the lazy dog"]
    with (folder / "spiece.model").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=model, vocab_size=48, hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=5,
        )  # fmt: skip
    return transformers.T5Tokenizer.from_pretrained(folder, extra_ids=0)


def t5(width: int = 32) -> transformers.T5EncoderModel:
    """T5's encoder in version 1.1."""
    config = transformers.T5Config(
        vocab_size=64,
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return transformers.T5EncoderModel(config)


def pixart(folder: Path, sigma: bool = False, sample_size: int = 8) -> Path:
    """PixArt-alpha, or Sigma."""
    torch.manual_seed(0)
    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=3, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2,
        cross_attention_dim=24, sample_size=sample_size, caption_channels=32,
    )  # fmt: skip
    kind = diffusers.PixArtSigmaPipeline if sigma else diffusers.PixArtAlphaPipeline
    pipeline = kind(
        tokenizer=t5_tokenizer(folder / "vocabulary"),
        text_encoder=t5(),
        vae=kl_vae(),
        transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )
    saved = save(pipeline, folder)
    (saved / "tokenizer/tokenizer.json").unlink()  # published folders have the sentencepiece model alone
    shutil.copyfile(folder / "vocabulary/spiece.model", saved / "tokenizer/spiece.model")
    return saved


def dit(folder: Path) -> Path:
    """DiT on 1000 classes, three of them with names."""
    torch.manual_seed(0)
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
    )
    labels = {0: "tench, Tinca tinca", 1: "goldfish, Carassius auratus", 2: "great white shark"}
    pipeline = diffusers.DiTPipeline(
        transformer, kl_vae(), diffusers.DDIMScheduler(clip_sample=False), labels
    )
    pipeline.register_to_config(id2label=labels)
    return save(pipeline, folder)


def gemma_tokenizer(folder: Path) -> transformers.GemmaTokenizer:
    """Gemma's tokenizer with a vocabulary of letters."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "\u2581", "\n", *letters]
    folder.mkdir(parents=True)
    return transformers.GemmaTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])


def gemma(width: int = 32) -> transformers.Gemma2Model:
    """Gemma-2."""
    config = transformers.Gemma2Config(
        vocab_size=128, hidden_size=width, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, sliding_window=64,
    )  # fmt: skip
    return transformers.Gemma2Model(config)


def dc_ae() -> diffusers.AutoencoderDC:
    """The deep-compression autoencoder with a factor of 4."""
    return diffusers.AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8, 16), decoder_block_out_channels=(8, 8, 16),
        encoder_qkv_multiscales=((), (5,), (5,)), decoder_qkv_multiscales=((), (5,), (5,)),
        encoder_layers_per_block=(1, 1, 1), decoder_layers_per_block=(1, 1, 1), downsample_block_type="conv",
        upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu",
        scaling_factor=0.41407,
    )  # fmt: skip


def sana(folder: Path, sprint: bool = False) -> Path:
    """Sana, or SANA-Sprint."""
    torch.manual_seed(0)
    guided = {"guidance_embeds": True, "qk_norm": "rms_norm_across_heads"} if sprint else {}
    transformer = diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=4, attention_head_dim=8, num_layers=2,
        num_cross_attention_heads=4, cross_attention_head_dim=8, cross_attention_dim=32, caption_channels=32,
        sample_size=8, patch_size=1, **guided,
    )  # fmt: skip
    parts = {
        "tokenizer": gemma_tokenizer(folder / "vocabulary"), "text_encoder": gemma(), "vae": dc_ae(),
        "transformer": transformer,
    }  # fmt: skip
    if sprint:
        return save(diffusers.SanaSprintPipeline(**parts, scheduler=diffusers.SCMScheduler()), folder)
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return save(diffusers.SanaPipeline(**parts, scheduler=scheduler), folder)


def stable_diffusion_3(folder: Path, whole: bool = True) -> Path:
    """Stable Diffusion 3, with T5 or without."""
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=56, caption_projection_dim=32, pooled_projection_dim=48, out_channels=4,
        pos_embed_max_size=12, qk_norm="rms_norm",
    )  # fmt: skip
    pipeline = diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=kl_vae(
            scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False
        ),
        text_encoder=clip_with_projection(),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        text_encoder_2=clip_with_projection(16),
        tokenizer_2=clip_tokenizer(folder / "vocabulary_2"),
        text_encoder_3=t5(56) if whole else None,
        tokenizer_3=t5_tokenizer(folder / "vocabulary_3") if whole else None,
    )
    return save(pipeline, folder)


def flux(folder: Path, dev: bool = False) -> Path:
    """FLUX.1 schnell, or dev."""
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8], guidance_embeds=dev,
    )  # fmt: skip
    shift = {"use_dynamic_shifting": True, "shift": 3.0} if dev else {"shift": 1.0}
    pipeline = diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**shift),
        vae=kl_vae(
            scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False
        ),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(folder / "vocabulary_2"),
        transformer=transformer,
    )
    return save(pipeline, folder)


def qwen_tokenizer(folder: Path) -> transformers.Qwen2Tokenizer:
    """Qwen's tokenizer with letters for a vocabulary, and a chat template."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*sorted(ByteLevel.alphabet()), *special]
    tokenizer = transformers.Qwen2Tokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


def qwen(width: int = 32) -> transformers.Qwen3Model:
    """Qwen3."""
    config = transformers.Qwen3Config(
        vocab_size=300, hidden_size=width, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    return transformers.Qwen3Model(config)


def lumina2(folder: Path) -> Path:
    """Lumina-Image 2.0."""
    torch.manual_seed(0)
    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, hidden_size=48, num_layers=2, num_refiner_layers=1,
        num_attention_heads=4, num_kv_heads=2, multiple_of=16, axes_dim_rope=(4, 4, 4), axes_lens=(300, 32, 32),
        cap_feat_dim=32,
    )  # fmt: skip
    pipeline = diffusers.Lumina2Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=kl_vae(
            levels=4, scaling_factor=0.3611, shift_factor=0.1159
        ),  # the pipeline knows no other factor than 8
        text_encoder=gemma(),
        tokenizer=gemma_tokenizer(folder / "vocabulary"),
    )
    return save(pipeline, folder)


def z_image(folder: Path) -> Path:
    """Z-Image."""
    torch.manual_seed(0)
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4, dim=48, n_layers=2, n_refiner_layers=1, n_heads=4, n_kv_heads=4, cap_feat_dim=32,
        axes_dims=[4, 4, 4], axes_lens=[600, 32, 32],
    )  # fmt: skip
    for token in (transformer.x_pad_token, transformer.cap_pad_token):
        torch.nn.init.normal_(token)
    pipeline = diffusers.ZImagePipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=kl_vae(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=qwen(),
        tokenizer=qwen_tokenizer(folder / "vocabulary"),
    )
    return save(pipeline, folder)


def save(pipeline: diffusers.DiffusionPipeline, folder: Path) -> Path:
    """Writes the pipeline to FOLDER/checkpoint."""
    pipeline.save_pretrained(folder / "checkpoint")
    return folder / "checkpoint"


@dataclass(frozen=True)
class Case:
    """A checkpoint of docs/checkpoints.md: its family, how its folder is made, and what is asked of the export."""

    family: str
    build: Callable[[Path], Path]
    size: int | None = None
    steps: int = 3


NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CASES: Mapping[str, Case] = {
    "sd1": Case("Stable Diffusion 1.x", stable_diffusion),
    "sd2": Case(
        "Stable Diffusion 2.x",
        lambda folder: stable_diffusion(
            folder,
            diffusers.DDIMScheduler(
                **NOISE, clip_sample=False, prediction_type="v_prediction", steps_offset=1
            ),
            use_linear_projection=True,
            attention_head_dim=(1, 2),
        ),
    ),
    "bk_sdm": Case(
        "BK-SDM small U-Net",
        lambda folder: stable_diffusion(folder, mid_block_type=None),
    ),
    "sd_turbo": Case(
        "SD-Turbo",
        lambda folder: stable_diffusion(
            folder, diffusers.EulerDiscreteScheduler(**NOISE, timestep_spacing="trailing")
        ),
        steps=1,
    ),
    "lcm": Case(
        "LCM",
        lambda folder: stable_diffusion(folder, diffusers.LCMScheduler(**NOISE), time_cond_proj_dim=16),
    ),
    "sdxl": Case("SDXL", stable_diffusion_xl),
    "ssd": Case(
        "Segmind small SDXL U-Net",
        lambda folder: stable_diffusion_xl(folder, mid_block_type=None),
    ),
    "sdxl_turbo": Case(
        "SDXL-Turbo",
        lambda folder: stable_diffusion_xl(
            folder, diffusers.EulerAncestralDiscreteScheduler(**NOISE, timestep_spacing="trailing")
        ),
        steps=2,
    ),
    "pixart_alpha": Case("PixArt-alpha", pixart),
    "pixart_1024": Case(
        "PixArt-alpha with size conditions", lambda folder: pixart(folder, sample_size=128), size=32
    ),
    "pixart_sigma": Case("PixArt-Sigma", lambda folder: pixart(folder, sigma=True)),
    "dit": Case("DiT, class-conditional", dit),
    "sd3": Case("Stable Diffusion 3", stable_diffusion_3),
    "sd3_without_t5": Case(
        "Stable Diffusion 3 without T5", lambda folder: stable_diffusion_3(folder, whole=False)
    ),
    "sana": Case("Sana", sana),
    "sana_sprint": Case("SANA-Sprint", lambda folder: sana(folder, sprint=True), steps=2),
    "flux_schnell": Case("FLUX.1 schnell", flux, size=32),
    "flux_dev": Case("FLUX.1 dev", lambda folder: flux(folder, dev=True), size=32),
    "lumina2": Case("Lumina-Image 2.0", lumina2, size=64),
    "z_image": Case("Z-Image", z_image, size=20),
}
"""Every family of docs/checkpoints.md."""
