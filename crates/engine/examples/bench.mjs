// Times the module of bench_wasm.rs in node (V8 as in Chromium): node bench.mjs bench_wasm.wasm
import { readFileSync } from "node:fs";

const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), {});
const engine = instance.exports;
const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
// Processor time, so that neighbours on a shared machine count as little as possible.
const time = (work) => {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
};

// What it costs to name a state of a training: of the digits model, of half a million parameters and of one million.
for (const [index, name] of [[2, "w3"], [0, "w1"], [5, "large"]]) {
  engine.prepare(index);
  engine.steps(3);
  engine.states(1);
  const count = index === 2 ? 500 : 3;
  const times = (work) => Array.from({ length: 7 }, () => time(() => work(count)));
  const [step, state] = [engine.steps, engine.states].map((work) => median(times(work)) / count);
  const stride = Math.ceil(state / step / 0.03);
  console.log(`${name}: a state ${state.toFixed(3)} ms, ${(state / step).toFixed(1)} steps; 3 % with one every ${stride} steps`);
}
if (process.argv[3] === "states") process.exit();
engine.peak(1 << 20);
const flops = engine.peak(1 << 20);
const peak = flops / Math.min(...Array.from({ length: 7 }, () => time(() => engine.peak(1 << 20)))) / 1e6;
console.log(`peak ${peak.toFixed(1)} GFLOP/s`);
for (const [layout, name] of ["a b", "a b'", "a' b"].entries()) {
  for (const [m, n, k] of [[64, 512, 784], [64, 784, 512], [512, 784, 64], [1024, 192, 48], [256, 256, 256]]) {
    const rounds = Math.max(1, Math.floor(1e8 / (m * n * k)));
    engine.product(m, n, k, layout, rounds);
    const best = median(Array.from({ length: 5 }, () => time(() => engine.product(m, n, k, layout, rounds))));
    const rate = (2 * m * n * k * rounds) / best / 1e6;
    console.log(`product ${name} ${m}x${n}x${k}: ${rate.toFixed(1)} GFLOP/s, ${((100 * rate) / peak).toFixed(0)} %`);
  }
}
for (let index = 0; index < 5; index++) {
  engine.prepare(index);
  const first = time(() => engine.steps(1));
  const count = index === 2 ? 2000 : 3;
  engine.steps(count);
  const step = median(Array.from({ length: 5 }, () => time(() => engine.steps(count)))) / count;
  engine.prepare(index);
  engine.steps(process.argv[3] ? 100 : 0);
  const hash = BigInt.asUintN(64, engine.hash()).toString(16).padStart(16, "0");
  const rate = engine.flops() / step / 1e6;
  console.log(`w${index + 1}: ${step.toFixed(4)} ms a step, ${rate.toFixed(1)} GFLOP/s, first ${first.toFixed(1)} ms, hash ${hash}`);
}
