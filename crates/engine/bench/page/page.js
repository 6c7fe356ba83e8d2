// One worker per engine and workload; the driver starts calls and collects their outcomes.
const workers = new Map();
const outcomes = new Map();
let calls = 0;

function post(worker, message) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.value));
    worker.onerror = (event) => reject(new Error(event.message || "the worker did not load"));
    worker.postMessage(message);
  });
}

function settle(call, promise) {
  promise.then(
    (value) => outcomes.set(call, { value }),
    (error) => outcomes.set(call, { error: String(error?.message ?? error) }),
  );
  return call;
}

globalThis.bench = {
  // Loads the module `script` in a worker of its own under the name `key`; the outcome comes with `take`.
  open(key, script, options) {
    const worker = new Worker(`./${script}.js`, { type: "module", name: key });
    workers.set(key, worker);
    return settle(++calls, post(worker, { open: options }));
  },
  // Lets that worker do something once more and waits until it is done.
  run(key, count) {
    return settle(++calls, post(workers.get(key), { run: count }));
  },
  // The outcome of a call, once there is one.
  take(call) {
    const outcome = outcomes.get(call) ?? null;
    outcomes.delete(call);
    return outcome;
  },
  close(key) {
    workers.get(key)?.terminate();
    return workers.delete(key);
  },
};
