/** Which build of the denoiser runs where: measured at the first visit with WebGPU, remembered for the next. */

import type { Backend, Graph } from "./engine";
import type { Variant } from "./manifest";
import { compare, timed } from "./probe";

export interface Place {
  /** The variant whose denoiser it is. */
  variant: string;
  backend: Backend;
  /** What was measured, in words. */
  probe: string;
}

export type Load = (variant: Variant, backend: Backend) => Promise<Graph>;

/**
 * The fastest of the first candidate on WebAssembly, which is loaded already, and of all candidates on WebGPU, as far as they compute
 * there what they do on WebAssembly. With `asked`, WebGPU may be slower.
 */
export async function place(candidates: Variant[], loaded: Graph, load: Load, asked: boolean): Promise<Place> {
  const first = candidates[0]!;
  const [, ms] = await timed(loaded, first.components["denoiser"]!);
  const found = [`${first.name} on WebAssembly ${ms.toFixed(1)} ms`];
  let best: Omit<Place, "probe"> = { variant: first.name, backend: "wasm" };
  let least = asked ? Infinity : ms;
  for (const variant of candidates) {
    const graphs: Graph[] = [];
    try {
      const wasm = variant === first ? loaded : await load(variant, "wasm");
      if (wasm !== loaded) graphs.push(wasm);
      const webgpu = await load(variant, "webgpu");
      graphs.push(webgpu);
      const verdict = await compare(wasm, webgpu, variant.components["denoiser"]!);
      found.push(`${variant.name} on WebGPU ${verdict.webgpuMs.toFixed(1)} ms, error ${verdict.error.toExponential(1)}`);
      if (verdict.agrees && verdict.webgpuMs < least) {
        best = { variant: variant.name, backend: "webgpu" };
        least = verdict.webgpuMs;
      }
    } catch (error) {
      found.push(`${variant.name} on WebGPU failed: ${String(error)}`);
    }
    await Promise.all(graphs.map((graph) => graph.release()));
  }
  return { ...best, probe: found.join("; ") };
}

const CACHE = "fewstep-places";

/** The place that an earlier visit found for this package and these settings. */
export async function remembered(key: string): Promise<Place | undefined> {
  const kept = await (await globalThis.caches?.open(CACHE))?.match(key);
  return (await kept?.json()) as Place | undefined;
}

export async function remember(key: string, found: Place): Promise<void> {
  await (await globalThis.caches?.open(CACHE))?.put(key, Response.json(found)).catch(() => undefined); // a full disk
}
