"""Makes the golden files: losses and parameters of the five workloads after 20 steps, by PyTorch.

    pip install torch safetensors numpy
    python make.py

PyTorch computes in double precision, so that the tolerance of the tests is about our arithmetic alone. First
parameters and data come from the same integer hash functions as in Rust; of every parameter the norm and at most
256 evenly spaced elements are kept.
"""

import numpy as np
import torch
from pathlib import Path
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

STEPS, BATCHES, SEED = 20, 4, 11
torch.set_default_dtype(torch.float64)
np.seterr(over="ignore")


def mix(x):
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def random_bits(key, count):
    key = np.uint32(key)
    return mix(mix(np.arange(count, dtype=np.uint32) ^ key) + key)


def split_mix(x):
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(key, counters):
    bits = split_mix(np.uint64(key) + split_mix(counters.astype(np.uint64)))
    return (bits >> np.uint64(11)).astype(np.float64) / 2.0**53


def initial(name, shape, init):
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    key ^= SEED
    index = np.arange(int(np.prod(shape)), dtype=np.uint64)
    kind, value = init
    if kind == "constant":
        data = np.full(index.shape, value)
    elif kind == "uniform":
        data = (uniform(key, index) * 2 - 1) * np.sqrt(value)
    else:
        parts = sum(uniform(key, index * np.uint64(12) + np.uint64(part)) for part in range(12))
        data = (parts - 6) * np.float64(np.float32(value))
    return torch.tensor(data.astype(np.float32).astype(np.float64).reshape(shape))


def init_of(name, shape, model):
    if name.startswith(("tokens", "positions")):
        return ("normal", 0.02)
    if "norm" in name:
        return ("constant", 1.0 if name.endswith("weight") else 0.0)
    if "in_proj_weight" in name:
        return ("uniform", 6 / (4 * shape[1]))
    if "in_proj_bias" in name or "out_proj.bias" in name:
        return ("constant", 0.0)
    if name.startswith("gru"):
        return ("uniform", 1 / 64)
    weight = model.state_dict()[name.replace("bias", "weight")]
    return ("uniform", 1 / int(np.prod(weight.shape[1:])))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(64, 48)
        self.positions = nn.Embedding(64, 48)
        for number in range(3):
            block = nn.TransformerEncoderLayer(48, 3, 192, 0.0, "gelu", norm_first=True, batch_first=True)
            setattr(self, f"block{number}", block)
        self.norm = nn.LayerNorm(48)
        self.head = nn.Linear(48, 64)

    def forward(self, x):
        h = self.tokens(x) + self.positions.weight
        mask = nn.Transformer.generate_square_subsequent_mask(64, dtype=torch.float64)
        for block in (self.block0, self.block1, self.block2):
            h = block(h, src_mask=mask, is_causal=True)
        return self.head(self.norm(h))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(32, 64, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def dense(*widths):
    layers = {}
    for number, (a, b) in enumerate(zip(widths, widths[1:])):
        if number:
            layers[f"relu{number}"] = nn.ReLU()
        layers["abc"[number]] = nn.Linear(a, b)
    return nn.Sequential(__import__("collections").OrderedDict(layers))


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding="same")
        self.conv2 = nn.Conv2d(16, 32, 5, padding="same")
        self.a = nn.Linear(1568, 128)
        self.b = nn.Linear(128, 10)

    def forward(self, x):
        h = F.max_pool2d(F.relu(self.conv1(x)), 2)
        h = F.max_pool2d(F.relu(self.conv2(h)), 2)
        return self.b(F.relu(self.a(h.flatten(1))))


WORKLOADS = {
    "w1": (dense(784, 512, 256, 10), (64, 784), 0),
    "w2": (Convolutional(), (64, 1, 28, 28), 0),
    "w3": (dense(64, 32, 10), (32, 64), 0),
    "w4": (Transformer(), (16, 64), 64),
    "w5": (Recurrent(), (32, 48, 32), 0),
}


def batch(number, shape, tokens):
    bits = random_bits(100 + number, int(np.prod(shape)))
    if tokens:
        x = torch.tensor((bits % tokens).astype(np.int64).reshape(shape))
        labels = random_bits(200 + number, x.numel()) % tokens
        return x, torch.tensor(labels.astype(np.int64).reshape(shape))
    x = (bits >> np.uint32(8)).astype(np.float64) / 8388608.0 - 1.0
    labels = random_bits(200 + number, shape[0]) % 10
    return torch.tensor(x.reshape(shape)), torch.tensor(labels.astype(np.int64))


def main():
    for name, (model, shape, tokens) in WORKLOADS.items():
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                parameter.copy_(initial(key, tuple(parameter.shape), init_of(key, parameter.shape, model)))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        losses = []
        for step in range(STEPS):
            x, y = batch(step % BATCHES, shape, tokens)
            optimizer.zero_grad()
            output = model(x)
            loss = F.cross_entropy(output.reshape(-1, output.shape[-1]), y.reshape(-1))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        kept = {"losses": np.array(losses, dtype=np.float32)}
        for key, parameter in model.named_parameters():
            flat = parameter.detach().numpy().reshape(-1)
            step = -(-flat.size // 256)
            kept[f"sample.{key}"] = flat[::step].astype(np.float32)
            kept[f"norm.{key}"] = np.array([np.linalg.norm(flat)], dtype=np.float32)
        save_file(kept, Path(__file__).with_name(f"{name}.safetensors"))
        print(name, losses[0], losses[-1])


if __name__ == "__main__":
    main()
