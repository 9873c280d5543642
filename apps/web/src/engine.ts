/** ONNX Runtime Web around the graphs of a variant. */

import type * as Ort from "onnxruntime-web";

import type { Component } from "./manifest";

export type Backend = "wasm" | "webgpu";
export type Feeds = Record<string, Float32Array | Int32Array>;

export interface Graph {
  /** The outputs of one call; every input has `batch` as its first dimension. */
  run(feeds: Feeds, batch: number): Promise<Record<string, Float32Array>>;
  release(): Promise<void>;
}

/** The part of ONNX Runtime that a browser needs: with WebGPU if it has that, else the smaller one. */
export function runtimeName(webgpu: boolean): { module: string; binary: string } {
  return webgpu
    ? { module: "ort/ort.webgpu.min.mjs", binary: "ort/ort-wasm-simd-threaded.asyncify.wasm" }
    : { module: "ort/ort.wasm.min.mjs", binary: "ort/ort-wasm-simd-threaded.wasm" };
}

/** ONNX Runtime with that many threads; the number cannot be changed afterwards. */
export async function loadRuntime(base: string, module: string, binary: Uint8Array, threads: number): Promise<typeof Ort> {
  const ort = (await import(/* @vite-ignore */ new URL(module, base).href)) as typeof Ort;
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  ort.env.wasm.wasmBinary = binary.buffer as ArrayBuffer;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return ort;
}

/** A graph ready to run. */
export async function loadGraph(ort: typeof Ort, component: Component, content: Uint8Array, backend: Backend): Promise<Graph> {
  const session = await ort.InferenceSession.create(content, { executionProviders: [backend] });
  return {
    async run(feeds, batch) {
      const inputs = component.inputs.map(({ name, dtype, shape }) => {
        const dims = [batch, ...shape.slice(1).map(Number)];
        return [name, new ort.Tensor(dtype as "float32" | "int32", feeds[name] as Float32Array, dims)] as const;
      });
      const outputs = await session.run(Object.fromEntries(inputs));
      return Object.fromEntries(component.outputs.map(({ name }) => [name, outputs[name]!.data as Float32Array]));
    },
    release: () => session.release(),
  };
}
