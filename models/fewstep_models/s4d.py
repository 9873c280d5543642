"""S4D, the diagonal state space layer (Gu et al. 2022, arXiv:2206.11893), bidirectional, without a Fourier transform.

``x' = A x + B u, y = 2 Re(C x) + D u`` with diagonal complex A and zero-order hold is a convolution with the kernel
``K_l = 2 Re sum_n C_n (exp(dt A_n) - 1) / A_n exp(dt A_n l)``, which does not depend on the input: in an exported graph it is a
constant. Both forms below are sums of the same numbers.
"""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

S4DForm = Literal["chunked", "convolution"]
Constants = tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]
"""Matrices within, into and out of a chunk, and the decay over one; see :meth:`S4D._constants`."""


class S4D(nn.Module):
    """``y_l = D u_l + sum_{j <= l} K_{l-j} u_j + sum_{j > l} K'_{j-l-1} u_j``: u (B, channels, L) -> (B, channels, L).

    K and K' share A (S4D-Lin: ``-1/2 + i pi n``) and dt and differ in C. ``form`` says how the sums are taken:

    - "chunked": matrix products within chunks of ``chunk`` positions and a scan over the states at their ends, O(L);
    - "convolution": one depthwise convolution with a kernel of 2 L - 1 values, O(L^2) but a single operator.

    ``states`` counts the complex states of a channel (with their conjugates twice as many).
    """

    full_precision = (
        "log_dt",
        "log_decay",
        "frequency",
    )  # dt A l is an angle of up to 1e3: FP16 would turn it by radians

    def __init__(
        self, channels: int, length: int, states: int = 16, form: S4DForm = "chunked", chunk: int = 64
    ) -> None:
        super().__init__()
        if form not in get_args(S4DForm):
            raise ValueError(f"form must be chunked or convolution, found {form!r}")
        if form == "chunked" and length % min(chunk, length):
            raise ValueError(f"length ({length}) must be a multiple of chunk ({chunk})")
        self.length, self.form, self.chunk = length, form, min(chunk, length)
        dt = torch.rand(channels) * (math.log(0.1) - math.log(0.001)) + math.log(0.001)
        self.log_dt = nn.Parameter(dt)
        self.log_decay = nn.Parameter(torch.full((channels, states), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(states).float().repeat(channels, 1))
        self.c_real, self.c_imag = (
            nn.Parameter(torch.randn(2, channels, states) * 0.5**0.5) for _ in range(2)
        )
        self.d = nn.Parameter(torch.randn(channels))
        self.constants: Constants | None = None

    @torch.no_grad()
    def precompute(self) -> None:
        """Keep the matrices of the chunked form for the parameters as they are now: for inference in torch (an exporter folds them)."""
        self.constants = self._constants()

    def forward(self, u: Tensor) -> Tensor:
        y = self._convolution(u) if self.form == "convolution" else self._chunked(u)
        return y + u * self.d[:, None]

    def powers(self, exponents: Tensor) -> tuple[Tensor, Tensor]:
        """exp(dt A l), real and imaginary: exponents l (n,) -> (channels, states, n), FP32."""
        dt = self.log_dt.exp()[:, None, None]
        real = -dt * self.log_decay.exp()[..., None] * exponents
        angle = dt * self.frequency[..., None] * exponents
        return real.exp() * angle.cos(), real.exp() * angle.sin()

    def weights(self) -> tuple[Tensor, Tensor]:
        """``2 C (exp(dt A) - 1) / A`` of both directions, real and imaginary, (2, channels, states)."""
        real, imag = (
            p[..., 0] - shift for p, shift in zip(self.powers(self.log_dt.new_ones(1)), (1, 0), strict=True)
        )
        a, b = -self.log_decay.exp(), self.frequency
        ratio_real = (real * a + imag * b) / (a**2 + b**2)
        ratio_imag = (imag * a - real * b) / (a**2 + b**2)
        return (
            2 * (self.c_real * ratio_real - self.c_imag * ratio_imag),
            2 * (self.c_real * ratio_imag + self.c_imag * ratio_real),
        )

    def kernel(self, length: int) -> Tensor:
        """K and K', (2, channels, length), FP32."""
        real, imag = self.powers(torch.arange(length, device=self.d.device))
        w_real, w_imag = self.weights()
        return (w_real[:, :, None] @ real - w_imag[:, :, None] @ imag)[:, :, 0]

    def _two_sided(self, length: int) -> Tensor:
        """K' and K joined: (channels, 2 length - 1), the offset -(length - 1) first, 0 in the middle."""
        forward, backward = self.kernel(length)
        return torch.cat([backward[:, : length - 1].flip(-1), forward], dim=-1)

    def _convolution(self, u: Tensor) -> Tensor:
        with torch.autocast(device_type=u.device.type, enabled=False):
            kernel = self._two_sided(self.length).flip(-1)[:, None]
        return F.conv1d(u, kernel.to(u.dtype), padding=self.length - 1, groups=u.shape[1])

    def _chunked(self, u: Tensor) -> Tensor:
        b, channels, length = u.shape
        q, n = self.chunk, length // self.chunk
        with torch.autocast(device_type=u.device.type, enabled=False):
            within, enter, leave, decay = self.constants or self._constants()
        chunks = u.reshape(b, channels, n, q).transpose(0, 1).reshape(channels, b * n, q)
        y = chunks @ within.to(u.dtype)  # (channels, B n, q)
        states = (chunks @ enter.to(u.dtype)).reshape(channels, b, n, -1)
        carried = self._carry(states.float(), decay).to(u.dtype).reshape(channels, b * n, -1)
        y = y + carried @ leave.to(u.dtype)
        return y.reshape(channels, b, length).transpose(0, 1)

    def _constants(self) -> Constants:
        """Matrices of the chunked form, for rows of q values times columns, and the decay over one chunk.

        ``within`` (channels, q, q) is the kernel between positions of one chunk; ``enter`` (channels, q, 4 states) makes the states that a
        chunk leaves behind, forwards and backwards, real and imaginary; ``leave`` (channels, 4 states, q) reads them.
        """
        q, device = self.chunk, self.d.device
        place = torch.arange(q, device=device)
        kernel = self._two_sided(q)
        within = kernel[:, (place[None, :] - place[:, None] + q - 1).flatten()].unflatten(1, (q, q))
        real, imag = self.powers(torch.arange(q + 1, device=device))  # (channels, states, q + 1)
        enter = [real[..., :q].flip(-1), imag[..., :q].flip(-1), real[..., :q], imag[..., :q]]
        w_real, w_imag = (w[..., None] for w in self.weights())
        ahead, behind = (real[..., 1:], imag[..., 1:]), (real[..., :q].flip(-1), imag[..., :q].flip(-1))
        leave = []
        for direction, (r, i) in enumerate((ahead, behind)):  # Re(w e g) = Re(w e) Re(g) - Im(w e) Im(g)
            leave.append(w_real[direction] * r - w_imag[direction] * i)
            leave.append(-w_real[direction] * i - w_imag[direction] * r)
        return (
            within,
            torch.cat(enter, dim=1).transpose(1, 2),
            torch.cat(leave, dim=1),
            (real[..., q], imag[..., q]),
        )

    def _carry(self, states: Tensor, decay: tuple[Tensor, Tensor]) -> Tensor:
        """States left by each chunk (channels, B, n, 4 states) -> states that reach each chunk from before and from behind it."""
        rows = tuple(d[:, None, None] for d in decay)
        real, imag, back_real, back_imag = states.chunk(4, dim=-1)
        forward = _scan(real, imag, (rows[0], rows[1]), shift=1)
        backward = _scan(back_real, back_imag, (rows[0], rows[1]), shift=-1)
        return torch.cat([*forward, *backward], dim=-1)


def _scan(real: Tensor, imag: Tensor, decay: tuple[Tensor, Tensor], shift: int) -> tuple[Tensor, Tensor]:
    """``g_c = sum_{c' < c} decay^(c - 1 - c') s_c'`` over the chunks, dimension 2 (c' > c for a shift of -1), in log2(n) rounds."""
    real, imag = _shifted(real, shift), _shifted(imag, shift)
    a, b = decay
    step = 1
    while step < real.shape[2]:
        r, i = _shifted(real, shift * step), _shifted(imag, shift * step)
        real, imag = real + a * r - b * i, imag + a * i + b * r
        a, b = a * a - b * b, 2 * a * b
        step *= 2
    return real, imag


def _shifted(x: Tensor, by: int) -> Tensor:
    """The chunks moved by so many places, zeros coming in."""
    n = x.shape[2]
    return F.pad(x[:, :, : n - by], (0, 0, by, 0)) if by > 0 else F.pad(x[:, :, -by:], (0, 0, 0, -by))
