// What the worker of an engine answers: `open` gets it ready and times the first step, `run` times some more.
export function serve(open) {
  let engine;
  onmessage = async ({ data }) => {
    try {
      if ("open" in data) {
        // Loading an engine's code is a matter of the network, and not counted.
        const begin = await open(data.open);
        const start = performance.now();
        engine = await begin();
        const result = await engine.run(1);
        postMessage({ value: { ms: performance.now() - start, result, ...engine.facts } });
      } else {
        const start = performance.now();
        const result = await engine.run(data.run);
        postMessage({ value: { ms: performance.now() - start, result } });
      }
    } catch (error) {
      postMessage({ error: String(error?.message ?? error) });
    }
  };
}
