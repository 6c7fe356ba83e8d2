// What the worker of an engine answers: `open` gets it ready and times the first step, `run` times some more.
// What WebGPU is asked for is counted.
const counted = { pipelines: 0, submits: 0, dispatches: 0 };

function count(prototype, methods, name) {
  for (const method of methods) {
    const original = prototype?.[method];
    if (!original) continue;
    prototype[method] = function (...values) {
      counted[name]++;
      return original.apply(this, values);
    };
  }
}

count(globalThis.GPUQueue?.prototype, ["submit"], "submits");
count(globalThis.GPUComputePassEncoder?.prototype, ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"], "dispatches");

count(globalThis.GPUDevice?.prototype, ["createComputePipeline", "createComputePipelineAsync"], "pipelines");

async function timed(work) {
  Object.assign(counted, { pipelines: 0, submits: 0, dispatches: 0 });
  const start = performance.now();
  const result = await work();
  return { ms: performance.now() - start, result, ...counted };
}

export function serve(open) {
  let engine;
  onmessage = async ({ data }) => {
    try {
      if ("open" in data) {
        // Loading an engine's code is a matter of the network, and not counted.
        const begin = await open(data.open);
        const value = await timed(async () => {
          engine = await begin();
          return engine.run(1);
        });
        postMessage({ value: { ...value, ...engine.facts } });
      } else {
        postMessage({ value: await timed(() => engine.run(data.run)) });
      }
    } catch (error) {
      postMessage({ error: String(error?.message ?? error) });
    }
  };
}
