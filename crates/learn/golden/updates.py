"""Writes the golden updates beside this file: every lossy encoding of the same numbers, packed independently of the crate.

    python3 crates/learn/golden/updates.py
"""

import struct
from pathlib import Path

COUNT = 4500


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def numbers(seed, count):
    """Knuth's MMIX generator: sign, exponent and mantissa of each number."""
    state, values = seed, []

    def bits(width):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return state >> (64 - width)

    for _ in range(count):
        mantissa, sign, exponent = bits(23), bits(1), bits(4)
        values.append(struct.unpack("<f", struct.pack("<I", sign << 31 | (120 - exponent) << 23 | mantissa))[0])
    return values


def blocks(values, size):
    return [values[start : start + size] for start in range(0, len(values), size)]


def bit_string(fields):
    number, shift = 0, 0
    for value, width in fields:
        number |= value << shift
        shift += width
    return number.to_bytes((shift + 7) // 8, "little")


def int8(values):
    data = b""
    for block in blocks(values, 256):
        scale = f32(max(abs(value) for value in block) / 127)
        # Python rounds halves to even, too.
        data += struct.pack("<f", scale) + struct.pack(f"{len(block)}b", *(round(value / scale) for value in block))
    return data


def sign(values):
    data = b""
    for block in blocks(values, 4096):
        total = 0.0
        for value in block:
            total += abs(value)
        data += struct.pack("<f", total / len(block)) + bit_string([(int(value < 0), 1) for value in block])
    return data


def half(value):
    """The nearest bfloat16."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    low, high = bits & 0xFFFF, bits >> 16
    return high + (low > 0x8000 or (low == 0x8000 and high & 1))


def of_half(bits):
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def nearest(levels, value):
    return sum(2 * value > below + above for below, above in zip(levels, levels[1:]))


def sparse(values, keep):
    data = b""
    for chunk in blocks(values, 4096):
        order = sorted(range(len(chunk)), key=lambda place: (-abs(chunk[place]), place))
        places = sorted(order[:keep])
        kept = [chunk[place] for place in places]
        least, most = min(kept), max(kept)
        below = max((value for value in kept if value < 0), default=least)
        above = min((value for value in kept if value >= 0), default=most)
        levels = [f32(least + share * (below - least)) for share in (0.25, 0.75)]
        levels += [f32(above + share * (most - above)) for share in (0.25, 0.75)]
        for _ in range(4):
            near = [nearest(levels, value) for value in kept]
            for index in range(4):
                mine = [value for value, level in zip(kept, near) if level == index]
                if mine:
                    total = 0.0
                    for value in mine:
                        total += value
                    levels[index] = f32(total / len(mine))
        halves = [half(level) for level in levels]
        levels = [of_half(bits) for bits in halves]
        fields = [(place, 12) for place in places] + [(nearest(levels, value), 2) for value in kept]
        data += struct.pack("<4H", *halves) + bit_string(fields)
    return data


def head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    if number < 2**8:
        return bytes([major << 5 | 24, number])
    return bytes([major << 5 | 25]) + number.to_bytes(2, "big")


def blob(encoding, count, data):
    text = lambda word: head(3, len(word)) + word.encode()
    return (
        head(5, 3) + text("data") + head(2, len(data)) + data + text("count") + head(0, count)
        + text("encoding") + text(encoding)
    )


if __name__ == "__main__":
    values = numbers(9, COUNT)
    for name, encoding, data in [
        ("int8", "int8-256", int8(values)),
        ("sign", "sign-4096", sign(values)),
        ("sparse", "sparse-4096", sparse(values, 64)),
    ]:
        (Path(__file__).parent / f"{name}.cbor").write_bytes(blob(encoding, COUNT, data))
