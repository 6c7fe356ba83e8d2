// The processor's speed limits in wasm, and what there is to measure: { probe: "multiply-add" | "copy" }.
import init, { Data, copy, copy_bytes, multiply_add, multiply_add_flops } from "./lichen_engine_bench.js";
import { serve } from "./serve.js";

const ROUNDS = 200;
const WORKLOADS = ["w1", "w2", "w3", "w4", "w5"];

serve(async ({ probe }) => {
  await init();
  return async () => {
    if (probe === "copy") return { run: async (count) => copy(count), facts: { work: copy_bytes() } };
    const flops = Object.fromEntries(WORKLOADS.map((name) => [name, new Data(name).flops]));
    const work = multiply_add_flops() * ROUNDS;
    return { run: async (count) => multiply_add(count * ROUNDS), facts: { work, flops } };
  };
});
