// Our engine: { workload, device: "cpu" | "webgpu" }.
import init, { Training } from "./lichen_engine_bench.js";
import { serve } from "./serve.js";

serve(async ({ workload, device }) => {
  await init();
  return async () => {
    const training = await Training.open(workload, device === "webgpu");
    return { run: (steps) => training.run(steps) };
  };
});
