/** Whether WebGPU computes what WebAssembly does, and how fast. */

import type { Feeds, Graph } from "./engine";
import type { Component } from "./manifest";
import { gaussian } from "./noise";

/** A wrong kernel is off by far more; FP16 arithmetic by less. */
const TOLERANCE = 0.02;

export interface Verdict {
  agrees: boolean;
  /** Root mean square of the difference over that of WebAssembly's output. */
  error: number;
  webgpuMs: number;
}

/** Runs both on the same unit normal inputs. */
export async function compare(wasm: Graph, webgpu: Graph, component: Component): Promise<Verdict> {
  const expected = await output(wasm, component);
  const [found, webgpuMs] = await timed(webgpu, component);
  const error = Math.sqrt(meanSquare(found.map((value, i) => value - expected[i]!)) / meanSquare(expected));
  return { agrees: error <= TOLERANCE, error, webgpuMs };
}

/** The output and the milliseconds of a second run: the first call of WebGPU compiles its shaders. */
export async function timed(graph: Graph, component: Component): Promise<[Float32Array, number]> {
  await output(graph, component);
  const start = performance.now();
  return [await output(graph, component), performance.now() - start];
}

async function output(graph: Graph, component: Component): Promise<Float32Array> {
  return Object.values(await graph.run(feeds(component), 1))[0]!;
}

function feeds(component: Component): Feeds {
  return Object.fromEntries(
    component.inputs.map(({ name, dtype, shape }, stream) => {
      const size = shape.slice(1).map(Number).reduce((a, b) => a * b, 1);
      if (dtype !== "float32") return [name, new Int32Array(size).fill(1)];
      if (name === "timestep") return [name, Float32Array.of(500)];
      return [name, name.includes("mask") ? new Float32Array(size).fill(1) : gaussian(size, 0n, BigInt(stream))];
    }),
  );
}

function meanSquare(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0) / values.length;
}
