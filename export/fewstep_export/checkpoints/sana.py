"""Sana and SANA-Sprint: a linear DiT that reads Gemma-2, with a deep-compression autoencoder."""

from typing import Any

import torch
from torch import Tensor, nn

from fewstep.manifest import Guidance, Template, TokenizerFile
from fewstep_export.checkpoints.clip import plain_attention
from fewstep_export.checkpoints.family import Call, Defaults, Family, Source, prompt_and_scale
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.checkpoints.tokenizers import file_name, read_tokenizer
from fewstep_export.components import Component, TokenizerSource


class GemmaStates(nn.Module):
    """input_ids, text_mask (B, L), text_skip (B,) -> text_states (B, K, D) and their mask, states_mask (B, K).

    The states of the first token and of K - 1 tokens behind the skipped ones: the instruction before a prompt is read, and then left
    out.
    """

    def __init__(self, encoder: nn.Module, kept: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("positions", torch.arange(kept), persistent=False)

    def forward(self, input_ids: Tensor, text_mask: Tensor, text_skip: Tensor) -> tuple[Tensor, Tensor]:
        states = self.encoder(input_ids, attention_mask=text_mask, use_cache=False)[0]
        positions = self.get_buffer("positions")[None]
        index = positions + torch.where(positions > 0, text_skip[:, None], 0)
        wide = index[..., None].expand(-1, -1, states.shape[-1])
        return torch.gather(states, 1, wide), torch.gather(text_mask, 1, index)


class LinearAttention(nn.Module):
    """An attention processor of diffusers: o = (V 1)^T K Q over its last line, with q and k through ReLU (Xie et al., "SANA", 2024).

    It is what diffusers has, as a module: the passes keep arithmetic that belongs to a LinearAttention in FP32, as diffusers does.
    """

    def forward(self, attn: Any, hidden_states: Tensor, *_: None, **__: None) -> Tensor:
        q, k, v = (to(hidden_states) for to in (attn.to_q, attn.to_k, attn.to_v))
        q = q if attn.norm_q is None else attn.norm_q(q)
        k = k if attn.norm_k is None else attn.norm_k(k)
        q, k, v = (x.transpose(1, 2).unflatten(1, (attn.heads, -1)) for x in (q.relu(), k.relu(), v))
        v = nn.functional.pad(v, (0, 0, 0, 1), value=1.0)
        o = v @ k.transpose(-1, -2) @ q
        o = o[:, :, :-1] / (o[:, :, -1:] + 1e-15)
        result: Tensor = attn.to_out[0](o.flatten(1, 2).transpose(1, 2))
        return result


def use_linear_attention(transformer: nn.Module) -> nn.Module:
    """Gives the self-attentions their module."""
    for block in transformer.transformer_blocks:  # type: ignore[union-attr]
        block.attn1.set_processor(LinearAttention())
    return transformer


class Sana(nn.Module):
    """The velocity (B, C, h, w) of latents, timestep, text_states and states_mask."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self._scale = float(transformer.config.timestep_scale)

    def forward(self, latents: Tensor, timestep: Tensor, text_states: Tensor, states_mask: Tensor) -> Tensor:
        output: Tensor = self.transformer(
            latents,
            encoder_hidden_states=text_states,
            encoder_attention_mask=states_mask,
            timestep=timestep * self._scale,
            return_dict=False,
        )[0]
        return output[:, : latents.shape[1]]


class SanaSprint(nn.Module):
    """sigma_d F of latents (scaled by sigma_d), TrigFlow time t as timestep, text_states, states_mask and guidance (B,).

    The network is one of flow matching, at s = sin t / (cos t + sin t) (Chen et al., "SANA-Sprint", 2025, section 3.1).
    """

    def __init__(self, transformer: Any, sigma_data: float) -> None:
        super().__init__()
        self.transformer = transformer
        self._sigma_data = sigma_data
        self._guidance_scale = float(transformer.config.guidance_embeds_scale)

    def forward(
        self, latents: Tensor, timestep: Tensor, text_states: Tensor, states_mask: Tensor, guidance: Tensor
    ) -> Tensor:
        s = timestep.sin() / (timestep.cos() + timestep.sin())
        s4 = s[:, None, None, None]
        norm = torch.sqrt(s4**2 + (1 - s4) ** 2)
        x = latents / self._sigma_data * norm
        velocity = self.transformer(
            x,
            encoder_hidden_states=text_states,
            encoder_attention_mask=states_mask,
            guidance=guidance * self._guidance_scale,
            timestep=s,
            return_dict=False,
        )[0]
        f: Tensor = ((1 - 2 * s4) * x + (1 - 2 * s4 + 2 * s4**2) * velocity) / norm
        return f * self._sigma_data


def read(source: Source) -> Family:
    """A Sana pipeline; one that is told the scale of guidance (`guidance_embeds`) is SANA-Sprint.

    Raises:
        FewstepError: a part is missing or damaged.
    """
    folder, config = source.folder, source.folder.config("transformer")
    sprint = bool(config.get("guidance_embeds"))
    defaults = Defaults("SanaSprintPipeline" if sprint else "SanaPipeline")
    kept = defaults.integer("max_sequence_length")
    encoder = GemmaStates(plain_attention(folder.module("text_encoder")), kept).eval()
    transformer = use_linear_attention(folder.module("transformer"))
    inputs = ("latents", "timestep", "text_states", "states_mask")
    sigma_data = float(folder.config("scheduler").get("sigma_data", 0.5)) if sprint else 1.0
    if sprint:
        denoiser = Component(
            "denoiser",
            SanaSprint(transformer, sigma_data).eval(),
            (*inputs, "guidance"),
            ("prediction",),
        )
    else:
        denoiser = Component("denoiser", Sana(transformer).eval(), inputs, ("prediction",))
    tokens = ("input_ids", "text_mask", "text_skip")
    return Family(
        (Component("text_encoder", encoder, tokens, ("text_states", "states_mask")), denoiser),
        (_tokenizer(folder, defaults.text("complex_human_instruction"), kept),),
        source.autoencoder.side(source.size, int(config["sample_size"]), int(config["patch_size"])),
        Guidance(defaults.guidance),
        defaults.steps,
        latent_factor=sigma_data,
        arguments=_sprint_arguments if sprint else _arguments,
    )


def _tokenizer(folder: Folder, instruction: str, kept: int) -> TokenizerSource:
    """Gemma's tokenizer with the instruction before prompts, but not before negative ones."""
    count = len(folder.tokenizer("tokenizer").encode(instruction))
    template = Template(before=instruction, skip=count - 2)
    record = TokenizerFile(file_name(0), count + kept - 2, lowercase=True, prompt=template)
    return read_tokenizer(folder, "tokenizer", record)


def _arguments(call: Call) -> dict[str, object]:
    return {**prompt_and_scale(call), "use_resolution_binning": False}


def _sprint_arguments(call: Call) -> dict[str, object]:
    return {**_arguments(call), **({} if call.steps == 2 else {"intermediate_timesteps": None})}
