// The WebGPU adapter's speed limits: { probe: "multiply-add" | "copy" }.
import { serve } from "./serve.js";

const THREADS = 16384;
const DEPTH = 128;
const SUMS = 8;
const ELEMENTS = 1 << 22;

const MULTIPLY_ADD = `
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = vec4f(0.999) + vec4f(f32(id.x)) * 1e-9;
  let term = vec4f(0.001);
  ${[...Array(SUMS).keys()].map((sum) => `var s${sum} = vec4f(${sum}.0);`).join("\n")}
  for (var i = 0u; i < ${DEPTH}u; i++) {
    ${[...Array(SUMS).keys()].map((sum) => `s${sum} = fma(s${sum}, factor, term);`).join("\n")}
  }
  out[id.x] = ${[...Array(SUMS).keys()].map((sum) => `s${sum}`).join(" + ")};
}`;

const COPY = `
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let start = id.x * 8u;
  for (var i = 0u; i < 8u; i++) { out[start + i] = source[start + i]; }
}`;

serve(async ({ probe }) => {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error("no WebGPU adapter");
  const device = await adapter.requestDevice();
  const copies = probe === "copy";
  return async () => {
    const buffer = (elements) => device.createBuffer({ size: elements * 16, usage: GPUBufferUsage.STORAGE });
    const buffers = copies ? [buffer(ELEMENTS), buffer(ELEMENTS)] : [buffer(THREADS)];
    const module = device.createShaderModule({ code: copies ? COPY : MULTIPLY_ADD });
    const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const run = async (count) => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < count; i++) pass.dispatchWorkgroups((copies ? ELEMENTS / 8 : THREADS) / 64);
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      return 0;
    };
    const work = copies ? ELEMENTS * 16 * 2 : THREADS * DEPTH * SUMS * 4 * 2;
    return { run, facts: { work } };
  };
});
