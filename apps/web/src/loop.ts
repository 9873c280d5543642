/** The sampling loop: every sampler, as data. The same as `runtime/fewstep/loop.py`, product by product, in float32. */

import type { StepTable } from "./manifest";

/** stream -> unit normal noise: stream 0 begins the run, stream i + 1 belongs to row i. */
export type Noise = (stream: number) => Float32Array;
/** (scaled latents, timestep) -> network output of the same size; guidance is inside it. */
export type Model = (x: Float32Array, timestep: number) => Promise<Float32Array> | Float32Array;

export interface Step {
  row: number;
  /** The loop's own; the last ones are the sample. */
  latents: Float32Array;
  /** What the network takes the clean latents for. */
  data: Float32Array;
}

/** Yields after every row of the table. Stop by leaving the loop. */
export async function* run(table: StepTable, noise: Noise, model: Model): AsyncGenerator<Step> {
  const initial = noise(0);
  const make = () => new Float32Array(initial.length);
  const kept = Math.max(...table.rows.map((row) => row.state.length));
  let state = Array.from({ length: kept }, make);
  let after = Array.from({ length: kept }, make);
  const scaled = make();
  const data = make();
  set(state[0]!, table.initial_scale, initial);
  for (const [i, row] of table.rows.entries()) {
    set(scaled, row.input_scale, state[0]!);
    const m = await model(scaled, row.timestep);
    const n = row.noise.length > 0 ? noise(i + 1) : undefined;
    set(data, row.data[1], m);
    add(data, row.data[0], state[0]!);
    row.state.forEach((coefficients, k) => {
      set(after[k]!, row.output[k]!, m);
      coefficients.forEach((coefficient, j) => add(after[k]!, coefficient, state[j]!));
      if (n) add(after[k]!, row.noise[k]!, n);
    });
    [state, after] = [after, state];
    yield { row: i, latents: state[0]!, data };
  }
}

function set(out: Float32Array, coefficient: number, array: Float32Array): void {
  const c = Math.fround(coefficient);
  for (let i = 0; i < out.length; i++) out[i] = c * array[i]!;
}

/** Rounds the product before the sum, as every port does: two languages then agree to the bit. */
function add(out: Float32Array, coefficient: number, array: Float32Array): void {
  const c = Math.fround(coefficient);
  if (c === 0) return;
  for (let i = 0; i < out.length; i++) out[i] = out[i]! + Math.fround(c * array[i]!);
}
