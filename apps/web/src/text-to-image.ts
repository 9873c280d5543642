/** Prompt to picture: tokens, text encoder, the loop around the denoiser, decoder. Mirrors `runtime/fewstep/text_to_image.py`. */

import type { Feeds, Graph } from "./engine";
import { run, type Model } from "./loop";
import type { Manifest, StepTable, Variant } from "./manifest";
import { gaussian } from "./noise";
import type { Tokenizer } from "./tokenizer";

export interface Drawing {
  prompt: string;
  seed: bigint;
  table: StepTable;
  guidance: number;
}

/** Called after every evaluation with its number, from 1, and what the network takes the clean latents for. */
export type OnStep = (step: number, data: Float32Array) => Promise<void>;
/** Milliseconds of every call into a graph, by component. */
export type Timings = Record<string, number[]>;

export class Cancelled extends Error {}

export class TextToImage {
  timings: Timings = {};
  private negative: Promise<Feeds> | undefined;

  constructor(
    private readonly manifest: Manifest,
    private readonly variant: Variant,
    private readonly graphs: Record<string, Graph>,
    private readonly tokenizers: Tokenizer[],
  ) {}

  /** The picture (channels, H, W) in [0, 1], alpha premultiplied. Throws Cancelled if the signal says so between two steps. */
  async draw(drawing: Drawing, onStep?: OnStep, signal?: { aborted: boolean }): Promise<Float32Array> {
    this.timings = {};
    const size = this.manifest.latent.shape.reduce((a, b) => a * b);
    const model = await this.model(drawing, size);
    let latents = new Float32Array();
    for await (const step of run(drawing.table, (stream) => gaussian(size, drawing.seed, BigInt(stream)), model)) {
      if (signal?.aborted) throw new Cancelled("The drawing was stopped.");
      await onStep?.(step.row + 1, step.data);
      latents = step.latents.slice();
    }
    return this.decode(latents);
  }

  /** The picture of normalised latents: the decoder sees z = z_n / scale + shift. */
  async decode(latents: Float32Array): Promise<Float32Array> {
    const { scale, shift, shape } = this.manifest.latent;
    const pixels = shape[1] * shape[2];
    const z = latents.map((value, i) => {
      const channel = Math.floor(i / pixels);
      return Math.fround(value / Math.fround(scale[channel]!)) + Math.fround(shift[channel]!);
    });
    return (await this.call("decoder", { latents: z }, 1))["image"]!;
  }

  /** Classifier-free guidance, m = m_0 + w (m_c - m_0), both branches in one call. */
  private async model({ prompt, guidance }: Drawing, size: number): Promise<Model> {
    const conditions = await this.conditions(prompt, false);
    const inputs = this.variant.components["denoiser"]!.inputs.map((port) => port.name);
    const told = inputs.includes("guidance");
    if (told) conditions["guidance"] = Float32Array.of(guidance);
    const guided = guidance !== 1 && !told;
    const negative = guided ? await (this.negative ??= this.conditionsOfNothing(conditions)) : {};
    const names = inputs.filter((name) => name in conditions);
    return async (x, timestep) => {
      const feeds: Feeds = { latents: guided ? joined(x, x) : x, timestep: new Float32Array(guided ? 2 : 1).fill(timestep) };
      // New arrays every time: ONNX Runtime may take the ones it is given away.
      for (const name of names) feeds[name] = guided ? joined(negative[name]!, conditions[name]!) : conditions[name]!.slice();
      const [m] = Object.values(await this.call("denoiser", feeds, guided ? 2 : 1));
      return guided ? mixed(m!.subarray(0, size), m!.subarray(size), guidance) : m!;
    };
  }

  private async conditionsOfNothing(like: Feeds): Promise<Feeds> {
    const prompt = this.manifest.guidance.negative_prompt;
    if (prompt !== null) return this.conditions(prompt, true);
    return Object.fromEntries(Object.entries(like).map(([name, array]) => [name, array.slice().fill(0)]));
  }

  /** Everything that is known of a text: tensors of the tokenizers and outputs of the text encoder. */
  private async conditions(text: string, negative: boolean): Promise<Feeds> {
    const known: Feeds = {};
    this.tokenizers.forEach((tokenizer, k) => {
      const suffix = k === 0 ? "" : `_${k + 1}`;
      for (const [name, tensor] of Object.entries(tokenizer.encode(text, negative))) known[name + suffix] = tensor;
    });
    const encoder = this.variant.components["text_encoder"];
    return encoder ? { ...known, ...(await this.call("text_encoder", known, 1)) } : known;
  }

  private async call(component: string, feeds: Feeds, batch: number): Promise<Record<string, Float32Array>> {
    const start = performance.now();
    const outputs = await this.graphs[component]!.run(feeds, batch);
    (this.timings[component] ??= []).push(performance.now() - start);
    return outputs;
  }
}

function joined(a: Float32Array | Int32Array, b: Float32Array | Int32Array): Float32Array | Int32Array {
  const both = a instanceof Int32Array ? new Int32Array(2 * a.length) : new Float32Array(2 * a.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** In float32, operation by operation, as Python does. */
function mixed(m0: Float32Array, mc: Float32Array, scale: number): Float32Array {
  const w = Math.fround(scale);
  return m0.map((base, i) => base + Math.fround(w * Math.fround(mc[i]! - base)));
}
