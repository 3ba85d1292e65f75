# mypy: disallow-subclassing-any=False
# (torch carries no types where the checker runs, so its classes are Any there)
"""Torch reference of the GigaAM model family: the training model and the parity oracle.

The module mirrors the published architecture of GigaAM-v3 (a Conformer with rotary positions and
either a CTC or an RNN-T head) and its state-dict key names, so a checkpoint of any size loads
strictly. It favours plainness over speed of inference: the ONNX builder is held to these numbers.

Shapes use B for batch, L for mel frames (100 per second), T for encoder frames (25 per second),
D for ``d_model``, C for classes (blank last), U for target symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

MASKED_SCORE = -10000.0
"""Attention score of a padded key; its softmax weight underflows to an exact zero."""


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the Conformer encoder; the defaults are GigaAM-v3's.

    ``feature_mean`` and ``feature_std`` normalise the log-mel input as ``(x - mean) / std`` *after*
    padding, which lets the pair be folded into the first convolution without any residue (see
    ``glagol.forge.nano.train.weights``). Published checkpoints use the neutral pair.
    """

    feat_in: int = 64
    n_layers: int = 16
    d_model: int = 768
    n_heads: int = 16
    ff_expansion_factor: int = 4
    conv_kernel_size: int = 5
    subs_kernel_size: int = 5
    rope_base: float = 5000.0
    feature_mean: float = 0.0
    feature_std: float = 1.0

    def __post_init__(self) -> None:
        """Refuse sizes the family cannot have. Raises ValueError."""
        if self.d_model % (2 * self.n_heads):
            raise ValueError(f"d_model {self.d_model} must divide into {self.n_heads} even heads")
        if self.conv_kernel_size % 2 == 0 or self.subs_kernel_size % 2 == 0:
            raise ValueError("convolution kernels must be odd")
        if self.feature_std <= 0:
            raise ValueError(f"feature_std must be positive, not {self.feature_std}")

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads


@dataclass(frozen=True)
class RnntConfig:
    """Sizes of the RNN-T head: prediction network and joint, both 320 wide in GigaAM-v3."""

    pred_hidden: int = 320
    joint_hidden: int = 320


def valid_frames(lengths: Tensor, size: int) -> Tensor:
    """Return bool [B, size], true where a frame index is below its clip's length [B]."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


class Subsampling(nn.Module):
    """Two strided convolutions, four mel frames to one encoder frame."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        kernel = config.subs_kernel_size
        self.pad = kernel // 2
        self.kernel = kernel
        self.mean = config.feature_mean
        self.std = config.feature_std
        self.conv = nn.Sequential(
            nn.Conv1d(config.feat_in, config.d_model, kernel, stride=2, padding=self.pad),
            nn.ReLU(),
            nn.Conv1d(config.d_model, config.d_model, kernel, stride=2, padding=self.pad),
            nn.ReLU(),
        )

    def _halve(self, lengths: Tensor) -> Tensor:
        steps = lengths + (2 * self.pad - self.kernel)
        return torch.div(steps, 2, rounding_mode="floor") + 1

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map log-mel [B, feat_in, L] and lengths [B] to [B, T, D] and lengths [B].

        Pads are zero before and after each convolution, whatever the caller left there.
        """
        first, second = self.conv[0], self.conv[2]
        x = features.masked_fill(~valid_frames(lengths, features.size(2))[:, None, :], 0.0)
        # Padding comes before normalisation: folded weights then see the same zeros.
        x = (functional.pad(x, (self.pad, self.pad)) - self.mean) / self.std
        x = functional.relu(functional.conv1d(x, first.weight, first.bias, stride=2))
        lengths = self._halve(lengths)
        x = x * valid_frames(lengths, x.size(2))[:, None, :]
        x = functional.relu(
            functional.conv1d(x, second.weight, second.bias, stride=2, padding=self.pad)
        )
        lengths = self._halve(lengths)
        x = x * valid_frames(lengths, x.size(2))[:, None, :]
        return x.transpose(1, 2).contiguous(), lengths


class FeedForward(nn.Module):
    """Linear, SiLU, linear."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width * expansion)
        self.linear2 = nn.Linear(width * expansion, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, T, D] to [B, T, D]."""
        y: Tensor = self.linear2(functional.silu(self.linear1(x)))
        return y


def rotary_table(frames: int, head_size: int, base: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [frames, 1, head_size] of half-split rotary positions."""
    inverse = base ** (-torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(frames, dtype=torch.float32), inverse)
    angles = torch.cat([angles, angles], dim=-1)[:, None, :]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn x [B, T, H, head_size] by its positions; the halves of a head are the pairs."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-high, low], dim=-1) * sin


class RotaryAttention(nn.Module):
    """Full self-attention whose query and key *inputs* are rotated, before their projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_size = width // heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), x.size(1), self.heads, self.head_size).transpose(1, 2)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, pads: Tensor) -> Tensor:
        """Map [B, T, D] to [B, T, D]; pads is bool [B, 1, 1, T], true on padded keys."""
        batch, frames, width = x.shape
        turned = rotate(x.view(batch, frames, self.heads, self.head_size), cos, sin)
        turned = turned.reshape(batch, frames, width).to(x.dtype)
        query, key = self._split(self.linear_q(turned)), self._split(self.linear_k(turned))
        value = self._split(self.linear_v(x))
        # Plain products: the fused kernel's backward is several times slower on a CPU at T < 350.
        scores = torch.matmul(query, key.transpose(-2, -1)).float() * self.head_size**-0.5
        weights = torch.softmax(scores.masked_fill(pads, MASKED_SCORE), dim=-1).to(value.dtype)
        mixed = torch.matmul(weights, value).transpose(1, 2).reshape(batch, frames, width)
        y: Tensor = self.linear_out(mixed)
        return y


class ConvolutionModule(nn.Module):
    """Pointwise, GLU, depthwise, layer norm, SiLU, pointwise.

    The norm keeps the name ``batch_norm`` of the published checkpoints though it is a LayerNorm.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.pointwise_conv1 = nn.Conv1d(width, 2 * width, 1)
        self.depthwise_conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.batch_norm = nn.LayerNorm(width)
        self.pointwise_conv2 = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map [B, T, D] to [B, T, D]; valid is [B, T, 1], one on real frames, zero on pads."""
        frames = x.size(1)
        first, last = self.pointwise_conv1, self.pointwise_conv2
        x = (
            functional.glu(functional.linear(x, first.weight.squeeze(-1), first.bias), dim=-1)
            * valid
        )
        x = functional.pad(x, (0, 0, self.kernel // 2, self.kernel // 2))
        taps = self.depthwise_conv.weight[:, 0]
        # A depthwise convolution as shifted multiply-adds needs no change of layout and fuses.
        y = x[:, :frames] * taps[:, 0]
        for tap in range(1, self.kernel):
            y = y + x[:, tap : tap + frames] * taps[:, tap]
        if self.depthwise_conv.bias is not None:
            y = y + self.depthwise_conv.bias
        return functional.linear(
            functional.silu(self.batch_norm(y)), last.weight.squeeze(-1), last.bias
        )


class ConformerLayer(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm; all pre-normed."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width, expansion = config.d_model, config.ff_expansion_factor
        self.norm_feed_forward1 = nn.LayerNorm(width)
        self.feed_forward1 = FeedForward(width, expansion)
        self.norm_self_att = nn.LayerNorm(width)
        self.self_attn = RotaryAttention(width, config.n_heads)
        self.norm_conv = nn.LayerNorm(width)
        self.conv = ConvolutionModule(width, config.conv_kernel_size)
        self.norm_feed_forward2 = nn.LayerNorm(width)
        self.feed_forward2 = FeedForward(width, expansion)
        self.norm_out = nn.LayerNorm(width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, valid: Tensor) -> Tensor:
        """Map [B, T, D] to [B, T, D]; cos, sin [T, 1, head_size]; valid bool [B, T]."""
        x = x + 0.5 * self.feed_forward1(self.norm_feed_forward1(x))
        x = x + self.self_attn(self.norm_self_att(x), cos, sin, ~valid[:, None, None, :])
        x = x + self.conv(self.norm_conv(x), valid[:, :, None].to(x.dtype))
        x = x + 0.5 * self.feed_forward2(self.norm_feed_forward2(x))
        y: Tensor = self.norm_out(x)
        return y


class ConformerEncoder(nn.Module):
    """Subsampling and a stack of Conformer layers."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.pre_encode = Subsampling(config)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.n_layers))

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map log-mel [B, feat_in, L] and int lengths [B] to [B, T, D] and int lengths [B].

        T is ``(L - 1) // 4 + 1``. Frames at or past a clip's length hold no meaning.
        """
        x, lengths, _ = self.forward_with_middle(features, lengths)
        return x, lengths

    def forward_with_middle(
        self, features: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ``forward``, and also return the output of the middle layer [B, T, D]."""
        x, lengths = self.pre_encode(features, lengths)
        cos, sin = rotary_table(x.size(1), self.config.head_size, self.config.rope_base)
        cos, sin = cos.to(x.device), sin.to(x.device)
        valid = valid_frames(lengths, x.size(1))
        middle = x
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, cos, sin, valid)
            if number == len(self.layers) // 2:
                middle = x
        return x, lengths, middle


class CtcHead(nn.Module):
    """One pointwise convolution to class log-probabilities."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.decoder_layers = nn.Sequential(nn.Conv1d(width, num_classes, 1))

    def forward(self, encoded: Tensor) -> Tensor:
        """Map [B, T, D] to float32 log-probabilities [B, T, C]."""
        conv = self.decoder_layers[0]
        logits = functional.linear(encoded, conv.weight.squeeze(-1), conv.bias)
        return functional.log_softmax(logits.float(), dim=-1)


class Predictor(nn.Module):
    """Embedding and one LSTM layer over the symbols emitted so far."""

    def __init__(self, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_classes, hidden, padding_idx=num_classes - 1)
        self.lstm = nn.LSTM(hidden, hidden, num_layers=1)

    def forward(self, targets: Tensor) -> Tensor:
        """Map targets [B, U] to states [B, U + 1, hidden]; the first input is the zero vector."""
        embedded = functional.pad(self.embed(targets), (0, 0, 1, 0))
        states: Tensor = self.lstm(embedded.transpose(0, 1))[0]
        return states.transpose(0, 1)

    def step(
        self, symbols: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Feed one symbol per clip [B]; the blank, whose embedding is zero, starts a clip.

        Returns the output [B, hidden] and the state, two tensors [1, B, hidden].
        """
        output, state = self.lstm(self.embed(symbols)[None], state)
        return output[0], state


class Joint(nn.Module):
    """Sum of two projections, ReLU, linear."""

    def __init__(self, width: int, num_classes: int, config: RnntConfig) -> None:
        super().__init__()
        self.pred = nn.Linear(config.pred_hidden, config.joint_hidden)
        self.enc = nn.Linear(width, config.joint_hidden)
        self.joint_net = nn.Sequential(nn.ReLU(), nn.Linear(config.joint_hidden, num_classes))

    def forward(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Map [B, T, D] and [B, U + 1, hidden] to float32 log-probabilities [B, T, U + 1, C]."""
        total = self.enc(encoded)[:, :, None, :] + self.pred(predicted)[:, None, :, :]
        return functional.log_softmax(self.joint_net(total).float(), dim=-1)


class RnntHead(nn.Module):
    """Prediction network (``decoder``) and joint."""

    def __init__(self, width: int, num_classes: int, config: RnntConfig) -> None:
        super().__init__()
        self.blank = num_classes - 1
        self.decoder = Predictor(num_classes, config.pred_hidden)
        self.joint = Joint(width, num_classes, config)

    def forward(self, encoded: Tensor, targets: Tensor) -> Tensor:
        """Map [B, T, D] and targets [B, U] to log-probabilities [B, T, U + 1, C]."""
        y: Tensor = self.joint(encoded, self.decoder(targets))
        return y


class CtcModel(nn.Module):
    """Encoder and CTC head under the published key names ``encoder.*``, ``head.*``."""

    def __init__(self, config: EncoderConfig, num_classes: int) -> None:
        super().__init__()
        self.encoder = ConformerEncoder(config)
        self.head = CtcHead(config.d_model, num_classes)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map log-mel [B, feat_in, L], lengths [B] to log-probs [B, T, C], lengths [B]."""
        encoded, lengths = self.encoder(features, lengths)
        return self.head(encoded), lengths


class RnntModel(nn.Module):
    """Encoder and RNN-T head under the published key names ``encoder.*``, ``head.*``."""

    def __init__(self, config: EncoderConfig, num_classes: int, rnnt: RnntConfig) -> None:
        super().__init__()
        self.encoder = ConformerEncoder(config)
        self.head = RnntHead(config.d_model, num_classes, rnnt)

    def forward(self, features: Tensor, lengths: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Map log-mel, lengths [B], targets [B, U] to [B, T, U + 1, C] and lengths [B]."""
        encoded, lengths = self.encoder(features, lengths)
        return self.head(encoded, targets), lengths


class TwoHeadModel(nn.Module):
    """One encoder shared by a CTC and an RNN-T head: ``encoder.*``, ``ctc.*``, ``rnnt.*``."""

    def __init__(self, config: EncoderConfig, num_classes: int, rnnt: RnntConfig) -> None:
        super().__init__()
        self.encoder = ConformerEncoder(config)
        self.ctc = CtcHead(config.d_model, num_classes)
        self.rnnt = RnntHead(config.d_model, num_classes, rnnt)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map log-mel [B, feat_in, L], lengths [B] to CTC log-probs [B, T, C], lengths [B]."""
        encoded, lengths = self.encoder(features, lengths)
        return self.ctc(encoded), lengths
