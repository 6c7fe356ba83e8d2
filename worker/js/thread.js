// Becomes a thread of the worker that began it: takes the engine's module and memory, and never comes back.
import engine, { run_thread } from "./lichen-engine-threads.js";

self.onmessage = async ({ data: [module, memory] }) => {
  await engine({ module_or_path: module, memory });
  self.postMessage(null);
  run_thread();
};
