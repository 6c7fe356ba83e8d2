"""What another program's outer optimisers give: writes judged_by_flower.json, which judged_by_flower.rs compares ours with.

Run: python3 -m venv V && V/bin/pip install flwr==1.42.0 numpy==2.4.6 optax==0.2.8 "jax[cpu]==0.10.2"
     V/bin/python judged_by_flower.py > judged_by_flower.json

Flower's own strategies FedAvg, FedAvgM, FedAdam and FedYogi aggregate what its clients would send, round by round, numbered from
1 as its server does. It has no Nesterov momentum: that is optax's SGD, on the mean of the updates with the sign turned.
Everything is computed in 64 bits.
"""

import json
import logging

import jax
import numpy as np
import optax
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAdam, FedAvg, FedAvgM, FedYogi

jax.config.update("jax_enable_x64", True)
logging.getLogger("flwr").setLevel(logging.ERROR)

ROUNDS = 6
ELEMENTS = 6


class Flower:
    def __init__(self, strategy):
        self.strategy = strategy
        self.round = 0

    def step(self, base, updates, samples):
        self.round += 1
        results = [
            (None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters([base + update]), weight, {}))
            for update, weight in zip(updates, samples)
        ]
        result, _metrics = self.strategy.aggregate_fit(self.round, results, [])
        return parameters_to_ndarrays(result)[0]


class Nesterov:
    def __init__(self, base, rate, momentum):
        self.optimizer = optax.sgd(rate, momentum, nesterov=True)
        self.state = self.optimizer.init(base)

    def step(self, base, updates, samples):
        gradient = -np.average(updates, axis=0, weights=samples)
        by, self.state = self.optimizer.update(gradient, self.state, base)
        return np.asarray(optax.apply_updates(base, by))


def strategy(word, p, base):
    start = ndarrays_to_parameters([base])
    if word == "mean":
        return Flower(FedAvg(initial_parameters=start))
    if word == "momentum":
        return Flower(
            FedAvgM(initial_parameters=start, server_learning_rate=p["rate"], server_momentum=p["momentum"])
        )
    if word == "nesterov":
        return Nesterov(base, p["rate"], p["momentum"])
    kind = FedAdam if word == "adam" else FedYogi
    return Flower(
        kind(
            initial_parameters=start,
            eta=p["rate"],
            beta_1=p["beta1"],
            beta_2=p["beta2"],
            tau=p["epsilon"],
        )
    )


OUTER = [
    ("mean", {}),
    ("momentum", {"rate": 1.0, "momentum": 0.9}),
    ("momentum", {"rate": 0.3, "momentum": 0.5}),
    ("momentum", {"rate": 0.7, "momentum": 0.0}),
    ("nesterov", {"rate": 0.7, "momentum": 0.9}),
    ("nesterov", {"rate": 1.5, "momentum": 0.25}),
    ("adam", {"rate": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 0.001}),
    ("adam", {"rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-9}),
    ("adam", {"rate": 0.05, "beta1": 0.0, "beta2": 0.5, "epsilon": 0.1}),
    ("yogi", {"rate": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 0.001}),
    ("yogi", {"rate": 0.1, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-6}),
]


def short(values):
    """Numbers of 32 bits, so that both sides begin with the same."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def main():
    random = np.random.default_rng(20261130)
    cases = []
    for word, parameters in OUTER:
        base = short(random.normal(size=ELEMENTS))
        case = {"optimizer": word, **parameters, "base": base.tolist(), "rounds": []}
        judge, drift = strategy(word, parameters, base), random.normal(size=ELEMENTS)
        for _ in range(ROUNDS):
            peers = int(random.integers(1, 7))
            # Sizes over several magnitudes, some of one direction and some of none.
            scale = 10.0 ** random.uniform(-3, 0, size=ELEMENTS)
            updates = short(scale * (drift + random.normal(size=(peers, ELEMENTS))))
            samples = [int(weight) for weight in random.integers(1, 500, size=peers)]
            base = judge.step(base, updates, samples)
            case["rounds"].append({"updates": updates.tolist(), "samples": samples, "is": base.tolist()})
        cases.append(case)
    print(json.dumps(cases, separators=(",", ":")))


main()
