"""An independent computation of the golden ids in bit_identity.rs.

Exact rational arithmetic, rounded where the documented arithmetic rounds; nothing but Python's standard library.
Run: python3 bit_identity.py
"""

import base64
import hashlib
import json
import struct
from fractions import Fraction

SHAPES = {"hidden.bias": [32], "hidden.weight": [32, 64], "output.bias": [10], "output.weight": [10, 32]}
SAMPLES = [480, 1, 479, 65537, 3]


def f64(exact: Fraction) -> Fraction:
    """Nearest double: the division of Python's integers rounds once, to even."""
    return Fraction(exact.numerator / exact.denominator)


def f32(exact: Fraction) -> Fraction:
    """Nearest float of a value that is a double already."""
    return Fraction(struct.unpack("<f", struct.pack("<f", float(exact)))[0])


def numbers(seed: int):
    state = seed

    def bits(count: int) -> int:
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return state >> (64 - count)

    while True:
        mantissa, sign, exponent = bits(23), bits(1), bits(4)
        pattern = sign << 31 | (120 - exponent) << 23 | mantissa
        yield Fraction(struct.unpack("<f", struct.pack("<I", pattern))[0])


def parameters(seed: int) -> list[Fraction]:
    source = numbers(seed)
    return [next(source) for shape in SHAPES.values() for _ in range(elements(shape))]


def elements(shape: list[int]) -> int:
    product = 1
    for extent in shape:
        product *= extent
    return product


def packed(values: list[Fraction]) -> bytes:
    return b"".join(struct.pack("<f", float(value)) for value in values)


def safetensors(values: list[Fraction]) -> bytes:
    header, at = {}, 0
    for name, shape in SHAPES.items():
        end = at + 4 * elements(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + packed(values)


def cbor_head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    if value < 2**8:
        return bytes([major << 5 | 24, value])
    if value < 2**16:
        return bytes([major << 5 | 25]) + struct.pack(">H", value)
    return bytes([major << 5 | 26]) + struct.pack(">I", value)


def text(value: str) -> bytes:
    return cbor_head(3, len(value)) + value.encode()


def update_blob(values: list[Fraction]) -> bytes:
    data = packed(values)
    return (
        cbor_head(5, 3)
        + text("data") + cbor_head(2, len(data)) + data
        + text("count") + cbor_head(0, len(values))
        + text("encoding") + text("dense-f32-le")
    )


def raw_cid(content: bytes) -> str:
    binary = bytes([0x01, 0x55, 0x12, 0x20]) + hashlib.sha256(content).digest()
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def main() -> None:
    base = parameters(1)
    updates = []
    for seed in range(2, 7):
        trained = parameters(seed)
        # The difference of two floats is exact in double for these exponents, so rounding once to float is f32 - f32.
        updates.append([f32(f64(to - start)) for start, to in zip(base, trained)])
    result = []
    for index, start in enumerate(base):
        total = Fraction(0)
        for samples, update in zip(SAMPLES, updates):
            total = f64(total + f64(samples * update[index]))
        mean = f64(total / sum(SAMPLES))
        result.append(f32(f64(start + mean)))
    print("BASE   ", raw_cid(safetensors(base)))
    for update in updates:
        print("UPDATE ", raw_cid(update_blob(update)))
    print("RESULT ", raw_cid(safetensors(result)))


main()
