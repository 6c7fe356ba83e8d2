// Our engine: { workload, device: "cpu" | "webgpu" }, or with `profile` what its kernels take on the CPU.
import init, { Data, Training, profile } from "./lichen_engine_bench.js";
import { serve } from "./serve.js";

const PROFILED_STEPS = 50;

serve(async ({ workload, device, profile: profiled }) => {
  await init();
  if (profiled) return async () => ({ run: async () => profile(workload, PROFILED_STEPS) });
  const data = new Data(workload);
  return async () => {
    const training = await Training.open(data, device === "webgpu");
    return { run: (steps) => training.run(steps) };
  };
});
