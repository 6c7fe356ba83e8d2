"""What another program makes of the same updates: writes judged_by_byzfl.json, which judged_by_byzfl.rs compares ours with.

Run: python3 -m venv V && V/bin/pip install byzfl==0.0.11 numpy==2.4.6 scipy==1.17.1 torch==2.13.0 torchvision==0.28.0
     V/bin/python judged_by_byzfl.py > judged_by_byzfl.json

The rules are byzfl's own. Only what they take as parameters (radius, smoothing, the order of buckets) is worked out here, after
the documentation of lichen-learn. All updates weigh the same, since byzfl knows no weights.
"""

import hashlib
import json
import struct

import byzfl
import numpy as np

CASES = [(3, 0), (3, 1), (4, 1), (5, 1), (6, 2), (7, 3), (8, 2), (9, 2), (10, 4), (11, 3), (12, 5)]


def lower_median(values):
    return float(np.sort(values)[(len(values) - 1) // 2])


def distances(vectors, place):
    return np.linalg.norm(vectors - place, axis=1)


def median_norm_clip(vectors, f):
    limit = lower_median(distances(vectors, 0.0))
    return byzfl.Average()(byzfl.Clipping(c=limit)(vectors.copy()))


def centered_clip(vectors, f):
    center = np.zeros_like(vectors[0])
    for _ in range(5):
        radius = lower_median(distances(vectors, center))
        if radius == 0.0:
            break
        step = byzfl.CenteredClipping(L=1, tau=radius)
        step.m = center
        center = step(vectors)
    return center


def geometric_median(vectors, f):
    place = median_norm_clip(vectors, f)
    for _ in range(8):
        nu = 1e-3 * lower_median(distances(vectors, place))
        if nu == 0.0:
            break
        # It starts from zero: so that is where the estimate is put.
        place = place + byzfl.GeometricMedian(nu=nu, T=1)(vectors - place)
    return place


RULES = {
    "median-norm-clip": median_norm_clip,
    "centered-clip": centered_clip,
    "krum": lambda vectors, f: byzfl.Krum(f)(vectors),
    "multi-krum": lambda vectors, f: byzfl.MultiKrum(f)(vectors),
    "coordinate-median": lambda vectors, f: byzfl.Median()(vectors),
    "trimmed-mean": lambda vectors, f: byzfl.TrMean(f)(vectors),
    "geometric-median": geometric_median,
}


def lots(elements):
    """The numbers that follow from a base of zeros."""
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [elements], "data_offsets": [0, 4 * elements]}}, separators=(",", ":")
    ).encode()
    header += b" " * (-len(header) % 8)
    base = struct.pack("<Q", len(header)) + header + bytes(4 * elements)
    state = int.from_bytes(hashlib.sha256(base).digest()[:8], "big")
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        yield mixed ^ mixed >> 31


def shuffled(vectors):
    numbers, order = lots(len(vectors[0])), list(range(len(vectors)))
    for at in range(len(order)):
        other = at + next(numbers) % (len(order) - at)
        order[at], order[other] = order[other], order[at]
    return vectors[order]


def bucketed(vectors):
    np.random.permutation, before = shuffled, np.random.permutation
    try:
        return byzfl.Bucketing(s=2)(vectors)
    finally:
        np.random.permutation = before


def combined(rule, before, vectors, f):
    if before == "nearest-neighbours":
        vectors = byzfl.NNM(f)(vectors)
    if before == "bucketing":
        vectors = bucketed(vectors)
        f = min(f, (len(vectors) - 1) // 2)
    if len(vectors) < 3:
        return byzfl.Average()(vectors)
    return RULES[rule](vectors, f)


def updates(random, n, f, d, attack):
    honest = random.normal(0.5, 1.0, (n - f, d))
    hostile = {
        "none": random.normal(0.5, 1.0, (f, d)),
        "sign flip": np.repeat([byzfl.SignFlipping()(honest) * 9], f, axis=0),
        "inner product": np.repeat([byzfl.InnerProductManipulation(2.0)(honest)], f, axis=0),
        "a little": np.repeat([byzfl.ALittleIsEnough(1.5)(honest)], f, axis=0),
        "mimic": np.repeat([byzfl.Mimic(0)(honest)], f, axis=0),
        "noise": byzfl.Gaussian(0.0, 50.0)(honest) * np.ones((f, 1)),
    }[attack]
    # Differences that no rounding can turn round: otherwise equal distances would be decided by it.
    hostile = hostile + random.normal(0.0, 0.01, hostile.shape)
    mixed = np.concatenate([honest, hostile])
    return np.round(random.permutation(mixed), 3)


def main():
    random = np.random.default_rng(7)
    np.random.seed(7)
    attacks = ["none", "noise", "sign flip", "inner product", "a little", "mimic"]
    cases = []
    for number, (n, f) in enumerate(CASES):
        attack = attacks[number % len(attacks)] if f else "none"
        vectors = updates(random, n, f, [1, 2, 5, 8, 16][number % 5], attack)
        exact = vectors.astype(np.float32).astype(np.float64)
        befores = [None, "nearest-neighbours"]
        # To byzfl, the one that is left over is worth a pair.
        if n % 2 == 0:
            befores.append("bucketing")
        results = [
            {"rule": rule, "before": before, "is": [float(f"{x:.9g}") for x in combined(rule, before, exact, f)]}
            for rule in RULES
            for before in befores
        ]
        cases.append({"attack": attack, "hostile": f, "updates": vectors.tolist(), "results": results})
    print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")


main()
