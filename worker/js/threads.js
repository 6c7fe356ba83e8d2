// The worker with threads: they and the module that they share are there before it begins, as `self.lichenThreads`.
import engine, { Steps, open, shared_memory, shared_module } from "./lichen-engine-threads.js";
import worker from "./lichen-worker.js";

// How long a thread may take to begin, in milliseconds.
const PATIENCE = 10_000;

// Begins a thread; resolves to its worker once that waits for work.
function begin() {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL("./lichen-engine-thread.js", import.meta.url), { type: "module", name: "lichen thread" });
    const late = setTimeout(() => reject(new Error("a thread did not begin in time")), PATIENCE);
    thread.onerror = (event) => reject(new Error(event.message || "a thread could not be loaded"));
    thread.onmessage = () => {
      clearTimeout(late);
      resolve(thread);
    };
    thread.postMessage([shared_module(), shared_memory()]);
  });
}

async function share(count) {
  await engine();
  const threads = await Promise.all(Array.from({ length: count - 1 }, begin));
  // Blocks until all of them run.
  open(count);
  return { count, threads, steps: (manifest) => new Steps(manifest) };
}

try {
  // The page asks by this worker's name, `lichen-2`.
  self.lichenThreads = await share(Number(self.name.split("-").pop()));
} catch (error) {
  console.error("training goes on with one thread:", error);
  self.lichenThreadsFailed = String(error?.message ?? error);
}
await worker();
