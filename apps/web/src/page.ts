/** Elements of the page, and a few words for people. */

/** The element with that id, which index.html has. */
export function element<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found as E;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Where the computation runs, like "WebAssembly, 2 threads". */
export function engineName(ready: { backend: string; threads: number }): string {
  if (ready.backend === "webgpu") return "WebGPU";
  return `WebAssembly, ${ready.threads} thread${ready.threads === 1 ? "" : "s"}`;
}
