// What has to be there before the page's code is, and when it is not: how far it has loaded, why it cannot run, a way to
// load it again, and patience with what others do to the page.

// Extensions and translators wrap and move parts of a page. Whoever then inserts before such a part, or removes it, meets
// it elsewhere, which is no reason to stop.
const { insertBefore, removeChild } = Node.prototype;
Node.prototype.insertBefore = function (node, next) {
  let place = next;
  while (place && place.parentNode !== this) place = place.parentNode;
  return insertBefore.call(this, node, place ?? null);
};
Node.prototype.removeChild = function (child) {
  if (child && child.parentNode !== this) {
    child.parentNode && removeChild.call(child.parentNode, child);
    return child;
  }
  return removeChild.call(this, child);
};

addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-reload]");
  if (!button) return;
  if (button.dataset.reload === "anew") {
    // The browser may have kept what was wrong, for as long as it keeps what never changes.
    const parts = [...document.querySelectorAll('link[rel="preload"], link[rel="modulepreload"]')];
    await Promise.allSettled(parts.map(({ href }) => fetch(href, { cache: "reload" })));
  }
  location.reload();
});

// What is wrong, and what to do about it, in two sentences.
async function explain(reason) {
  if (typeof WebAssembly !== "object") {
    return [
      "This browser does not run WebAssembly, or is set not to.",
      "Allow it for this page (lockdown modes and some extensions forbid it), or use a current Chrome, Edge, Firefox or Safari.",
    ];
  }
  const address = document.querySelector('link[rel="preload"][href$=".wasm"]')?.href;
  const name = address?.split("/").pop() ?? "its code";
  let answer, start;
  try {
    answer = await fetch(address, { cache: "no-store" });
    start = new Uint8Array(await answer.arrayBuffer()).subarray(0, 4).join();
  } catch {
    return [`A part of this page (${name}) could not be fetched.`, "Check your connection and whether something blocks it, then reload."];
  }
  if (!answer.ok) {
    return [
      `The server did not send a part of this page (${name}: status ${answer.status}).`,
      "Reload in a while. If that does not help, tell whoever runs this site.",
    ];
  }
  if (start !== "0,97,115,109") {
    return [
      `The server sent something else instead of a part of this page (${name}).`,
      "Your network may show a login page first; if not, tell whoever runs this site.",
    ];
  }
  if (/Content.Security.Policy|unsafe-eval/i.test(reason)) {
    return ["A security policy keeps WebAssembly from running on this page.", "Tell whoever runs this site, or turn off the extension that sets it."];
  }
  return [
    `This browser cannot run the page (${reason}).`,
    "It needs a current Chrome, Edge, Firefox or Safari. If yours is, reload to try again.",
  ];
}

export default function start() {
  const line = document.getElementById("loading");
  const bar = document.getElementById("loaded");
  return {
    onProgress({ current, total }) {
      if (bar && total > 0) {
        bar.max = total;
        bar.value = current;
      }
    },
    async onFailure(reason) {
      console.error(reason);
      const [what, remedy] = await explain(String(reason));
      bar?.remove();
      document.querySelector(".late")?.remove();
      if (line) {
        line.setAttribute("role", "alert");
        line.textContent = `${what} ${remedy}`;
        const button = document.createElement("button");
        button.className = "button";
        button.dataset.reload = "anew";
        button.textContent = "Reload";
        line.after(button);
      }
    },
  };
}
