"""The networks of `benchmarks.models` in PyTorch, with published names.

SegFormer is Hugging Face's; the others are of torch's primitives, the convolutional
ones those that our tests compare with. All give logits [B, C, H, W] for images
[B, 3, H, W] and have no dropout and no auxiliary head.
"""

import contextlib
import copy
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.models import torch_hrnet, torch_resnet, torch_vit


class Block(torch_vit.Block):
    """A transformer block whose attention is torch's own, as one operation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.queries_keys_values(x)
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.attn.proj(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class DeepLabV3(torch_resnet.TorchvisionSegmentor):
    """torchvision's without its auxiliary head."""

    def __init__(self, num_classes: int):
        backbone = torch_resnet.ResNet(50, torch_resnet.STRIDE_8)
        super().__init__(backbone, 2048, num_classes)
        del self.aux_classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.backbone.stages(x)[-1])


class Logits(nn.Module):
    """A network whose output is enlarged to the image; `inner` has published names."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.inner(x)
        logits = getattr(logits, "logits", logits)  # as Hugging Face wraps them
        return F.interpolate(logits, x.shape[2:], mode="bilinear")


def segformer_b0(num_classes: int) -> nn.Module:
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]
    import transformers

    config = transformers.SegformerConfig(
        num_labels=num_classes, drop_path_rate=0.0, classifier_dropout_prob=0.0
    )
    return transformers.SegformerForSemanticSegmentation(config)


def segmenter_s16(num_classes: int) -> nn.Module:
    encoder = torch_vit.ViT(384, 12, 6, 16, 32, torch_vit.bilinear, epsilon=1e-5)
    decoder = torch_vit.MaskTransformer(384, 384, 6, num_classes)
    encoder.blocks = nn.ModuleList([Block(384, 6, 1e-5) for _ in range(12)])
    decoder.blocks = nn.ModuleList([Block(384, 6, 1e-5) for _ in range(2)])
    for table in (encoder.pos_embed, encoder.cls_token, decoder.cls_emb):
        nn.init.normal_(table, std=0.02)
    return torch_vit.Segmenter(encoder, decoder)


def hrnet_w18(num_classes: int) -> nn.Module:
    return torch_hrnet.Openseg(torch_hrnet.HRNet(18), num_classes)


NETS: dict[str, Callable[[int], nn.Module]] = {
    "deeplabv3_r50": DeepLabV3,
    "hrnet_w18": hrnet_w18,
    "segformer_b0": segformer_b0,
    "segmenter_s16": segmenter_s16,
}


class Network:
    """A network with its inputs: what `benchmarks.models` times and compares with.

    Args:
        name: a key of `NETS`.
        num_classes: C.
        image: [B, H, W, 3] float32.
        label: [B, H, W] class ids.
        use_gpu: compute there, channels last and in bfloat16 where autocast does.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        image: np.ndarray,
        label: np.ndarray,
        *,
        use_gpu: bool,
    ):
        torch.manual_seed(0)
        torch.set_num_threads(os.cpu_count() or 1)
        self.device = torch.device("cuda" if use_gpu else "cpu")
        format_ = torch.channels_last if use_gpu else torch.contiguous_format
        model = Logits(NETS[name](num_classes))
        model = model.to(self.device, memory_format=format_)
        images = torch.tensor(np.moveaxis(image, -1, 1), device=self.device)
        self.image = images.contiguous(memory_format=format_)
        self.label = torch.tensor(label, device=self.device).long()
        self.models = {False: copy.deepcopy(model).eval(), True: model.train()}

    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays by published name."""
        state = self.models[False].inner.state_dict()
        return {name: tensor.float().cpu().numpy() for name, tensor in state.items()}

    def logits(self) -> np.ndarray:
        """In evaluation, [B, H, W, C]."""
        with torch.no_grad(), self._autocast():
            logits = self.models[False](self.image)
        return np.moveaxis(logits.float().cpu().numpy(), 1, -1)

    def compile(self) -> dict[str, float]:
        """Has torch compile both; gives the seconds of the first call of each."""
        self.models = {
            train: torch.compile(model, dynamic=False)
            for train, model in self.models.items()
        }
        return {"forward": self.forward(), "step": self.step()}

    def forward(self) -> float:
        """Computes the logits in evaluation; gives the seconds."""
        return self._timed(self._forward)

    def step(self) -> float:
        """Computes cross entropy and all gradients in training; gives the seconds."""
        return self._timed(self._step)

    def _forward(self) -> torch.Tensor:
        with torch.no_grad(), self._autocast():
            return self.models[False](self.image)

    def _step(self) -> torch.Tensor:
        model = self.models[True]
        model.zero_grad(set_to_none=True)
        with self._autocast():
            loss = F.cross_entropy(model(self.image).float(), self.label)
        loss.backward()
        return loss

    def _timed(self, run: Callable[[], Any]) -> float:
        self._wait()
        began = time.perf_counter()
        run()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return contextlib.nullcontext()
