// Starts the page's code, and says on the way how much of it has come.

export default async function load(init, source, size, { onProgress, onFailure }) {
  try {
    await init({ module_or_path: fetch(source).then((answer) => counted(answer, size, onProgress)) });
  } catch (reason) {
    onFailure(reason);
  }
}

// Fetches a further module and starts it, for the page's code: an import has to stand in a script.
globalThis.lichenLoad = async (bindings) => {
  const module = await import(bindings);
  await module.default();
  return module;
};

// The answer, with its bytes counted as they pass. The server's own count is of what it sent, which is compressed.
function counted(answer, total, onProgress) {
  let current = 0;
  const counter = new TransformStream({
    transform(bytes, passed) {
      current += bytes.byteLength;
      onProgress({ current, total });
      passed.enqueue(bytes);
    },
  });
  return new Response(answer.body.pipeThrough(counter), answer);
}
