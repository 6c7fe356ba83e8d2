// Shows how much of the page's code has loaded, and says so where it cannot run.
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
    onFailure(reason) {
      console.error(reason);
      bar?.remove();
      if (line) {
        line.setAttribute("role", "alert");
        line.textContent =
          "The page could not be started in this browser. It needs a current Chrome, Edge, Firefox or Safari " +
          "with WebAssembly allowed. Reload to try again. (" + reason + ")";
      }
    },
  };
}
