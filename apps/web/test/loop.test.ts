import { expect, test } from "vitest";

import { run } from "../src/loop";
import type { StepTable } from "../src/manifest";
import { golden } from "./data";

interface Vector {
  name: string;
  table: StepTable;
  noise: Record<string, number[]>;
  latents: Record<string, number[]>;
  edit?: unknown;
}

const { shape, tolerance, vectors } = golden<{ shape: number[]; tolerance: number; vectors: Vector[] }>("golden_sampler_vectors.json");
const width = shape.at(-1)!;

/** m = tanh(0.5 y + timestep / 1000), y the input with its last axis reversed, in float32. */
function network(x: Float32Array, timestep: number): Float32Array {
  const shift = Math.fround(timestep / 1000);
  return x.map((_, i) => {
    const mirrored = x[i - (i % width) + width - 1 - (i % width)]!;
    return Math.tanh(Math.fround(Math.fround(0.5 * mirrored) + shift));
  });
}

// The app has no editing of pictures.
test.each(vectors.filter((vector) => !vector.edit))("$name", async ({ table, noise, latents }) => {
  const found: Record<string, Float32Array> = {};
  for await (const step of run(table, (stream) => Float32Array.from(noise[stream]!), network)) found[step.row] = step.latents.slice();
  for (const [row, expected] of Object.entries(latents)) {
    expected.forEach((value, i) => expect(Math.abs(found[row]![i]! - value)).toBeLessThanOrEqual(tolerance));
  }
});

test("there are many vectors", () => expect(vectors.filter((vector) => !vector.edit).length).toBeGreaterThan(10));
