"""Vision transformers in torch by their published names; import by the fixture.

Written after what the papers' code computes: timm's ViT as DINO's, Segmenter and DPT
have it, Segmenter with both decoders, and DPT with the parts that LSeg and SAZS share.
"""

import torch
import torch.nn.functional as F
from torch import nn


def child(**modules):
    """A module that only gives its children a name."""
    parent = nn.Module()
    for name, module in modules.items():
        parent.add_module(name, module)
    return parent


class Block(nn.Module):
    def __init__(self, width, heads, epsilon):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.attn = child(qkv=nn.Linear(width, 3 * width), proj=nn.Linear(width, width))
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = child(
            fc1=nn.Linear(width, 4 * width), fc2=nn.Linear(4 * width, width)
        )

    def queries_keys_values(self, x):
        b, t, d = x.shape
        qkv = self.attn.qkv(self.norm1(x))
        return qkv.reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)

    def weights(self, x):
        query, key, _ = self.queries_keys_values(x)
        return (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)

    def forward(self, x):
        value = self.queries_keys_values(x)[2]
        mixed = (self.weights(x) @ value).transpose(1, 2).flatten(2)
        x = x + self.attn.proj(mixed)
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class ViT(nn.Module):
    """Tokens; `interpolate` maps [1, D, g, g] and (h, w) to [1, D, h, w]."""

    def __init__(
        self, width, depth, heads, patch, side, interpolate, epsilon=1e-6, extra=1
    ):
        super().__init__()
        self.interpolate = interpolate
        conv = nn.Conv2d(3, width, patch, stride=patch)
        self.patch_embed = child(proj=conv)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        if extra == 2:
            self.dist_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, extra + side**2, width))
        self.blocks = nn.ModuleList(
            [Block(width, heads, epsilon) for _ in range(depth)]
        )
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.head = nn.Linear(width, 7)
        self.extra = extra
        self.side = side

    def embed(self, x):
        x = self.patch_embed.proj(x)
        size = x.shape[2:]
        first, table = self.pos_embed.split([self.extra, self.side**2], dim=1)
        table = table.transpose(1, 2).unflatten(2, (self.side, self.side))
        table = self.interpolate(table, size).flatten(2).transpose(1, 2)
        tokens = [self.cls_token.expand(len(x), -1, -1)]
        if self.extra == 2:
            tokens.append(self.dist_token.expand(len(x), -1, -1))
        x = torch.cat([*tokens, x.flatten(2).transpose(1, 2)], dim=1)
        return x + torch.cat([first, table], dim=1), size

    def outputs(self, x):
        """The outputs of all blocks, and the size of the map."""
        x, size = self.embed(x)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs, size

    def forward(self, x):
        outputs, size = self.outputs(x)
        patches = self.norm(outputs[-1])[:, self.extra :]
        return patches.transpose(1, 2).unflatten(2, size)


def dino_interpolate(table, size):
    """The scale is computed from a size a tenth of a patch larger."""
    side = table.shape[2]
    if tuple(size) == (side, side):
        return table
    factors = tuple((n + 0.1) / side for n in size)
    return F.interpolate(table, scale_factor=factors, mode="bicubic")


def bilinear(table, size):
    return F.interpolate(table, size, mode="bilinear", align_corners=False)


class MaskTransformer(nn.Module):
    def __init__(self, width, inner, heads, classes, depth=2):
        super().__init__()
        self.proj_dec = nn.Linear(width, inner)
        self.cls_emb = nn.Parameter(torch.randn(1, classes, inner))
        self.blocks = nn.ModuleList([Block(inner, heads, 1e-5) for _ in range(depth)])
        self.decoder_norm = nn.LayerNorm(inner)
        self.proj_patch = nn.Parameter(inner**-0.5 * torch.randn(inner, inner))
        self.proj_classes = nn.Parameter(inner**-0.5 * torch.randn(inner, inner))
        self.mask_norm = nn.LayerNorm(classes)

    def forward(self, x):
        x = self.proj_dec(x)
        n = x.shape[1]
        x = torch.cat([x, self.cls_emb.expand(len(x), -1, -1)], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_norm(x)
        patches, classes = x[:, :n] @ self.proj_patch, x[:, n:] @ self.proj_classes
        patches = patches / patches.norm(dim=-1, keepdim=True)
        classes = classes / classes.norm(dim=-1, keepdim=True)
        return self.mask_norm(patches @ classes.transpose(1, 2))


class LinearDecoder(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(x)


class Segmenter(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x):
        *_, height, width = x.shape
        patch = self.encoder.patch_embed.proj.kernel_size[0]
        x = F.pad(x, (0, -width % patch, 0, -height % patch))
        outputs, size = self.encoder.outputs(x)
        tokens = self.encoder.norm(outputs[-1])[:, self.encoder.extra :]
        masks = self.decoder(tokens).transpose(1, 2).unflatten(2, size)
        return bilinear(masks, x.shape[2:])[:, :, :height, :width]


class Readout(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())

    def forward(self, x):
        token = x[:, :1].expand_as(x[:, 1:])
        return self.project(torch.cat([x[:, 1:], token], dim=-1))


class ResidualUnit(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)

    def forward(self, x):
        return x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(F.relu(x))))))


class FusionBlock(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        self.resConfUnit1 = ResidualUnit(features)
        self.resConfUnit2 = ResidualUnit(features)

    def forward(self, path, x=None):
        path = path if x is None else path + self.resConfUnit1(x)
        path = self.resConfUnit2(path)
        path = F.interpolate(path, scale_factor=2, mode="bilinear", align_corners=True)
        return self.out_conv(path)


class DPT(nn.Module):
    """The authors' network; `classes` for their last layers, `embedding` for LSeg's."""

    def __init__(self, encoder, taps, reassembled, features, classes=0, embedding=0):
        super().__init__()
        self.taps = taps
        width = encoder.pos_embed.shape[-1]
        self.pretrained = child(model=encoder)
        resize = (
            lambda d: nn.ConvTranspose2d(d, d, 4, 4),
            lambda d: nn.ConvTranspose2d(d, d, 2, 2),
            lambda d: nn.Identity(),
            lambda d: nn.Conv2d(d, d, 3, 2, 1),
        )
        self.scratch = child()
        for level, d in enumerate(reassembled):
            post = nn.Sequential(
                Readout(width),
                nn.Identity(),
                nn.Identity(),
                nn.Conv2d(width, d, 1),
                resize[level](d),
            )
            self.pretrained.add_module(f"act_postprocess{level + 1}", post)
            conv = nn.Conv2d(d, features, 3, padding=1, bias=False)
            self.scratch.add_module(f"layer{level + 1}_rn", conv)
            self.scratch.add_module(f"refinenet{level + 1}", FusionBlock(features))
        if classes:
            self.scratch.output_conv = nn.Sequential(
                nn.Conv2d(features, features, 3, padding=1, bias=False),
                nn.BatchNorm2d(features),
                nn.ReLU(),
                nn.Identity(),
                nn.Conv2d(features, classes, 1),
            )
            self.auxlayer = nn.Sequential(nn.Conv2d(features, classes, 1))
        if embedding:
            self.scratch.head1 = nn.Conv2d(features, embedding, 1)

    def reassembled(self, x):
        outputs, size = self.pretrained.model.outputs(x)
        for level, tap in enumerate(self.taps, start=1):
            post = getattr(self.pretrained, f"act_postprocess{level}")
            tokens = post[0](outputs[tap])
            yield post[3:](tokens.transpose(1, 2).unflatten(2, size))

    def forward(self, x):
        path = None
        for level, layer in reversed(list(enumerate(self.reassembled(x), start=1))):
            layer = getattr(self.scratch, f"layer{level}_rn")(layer)
            fuse = getattr(self.scratch, f"refinenet{level}")
            path = fuse(layer) if path is None else fuse(path, layer)
        last = getattr(self.scratch, "head1", None) or self.scratch.output_conv
        return last(path)
