/** The worker: owns the model, so that the page stays awake while it computes. */

import { load } from "./load";
import type { FromWorker, Order, ToWorker } from "./protocol";
import { Cancelled, type TextToImage } from "./text-to-image";
import type { Manifest } from "./manifest";

let model: TextToImage;
let manifest: Manifest;
let signal = { aborted: false };

function tell(message: FromWorker, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

self.onmessage = async ({ data: order }: MessageEvent<ToWorker>) => {
  try {
    if (order.kind === "stop") signal.aborted = true;
    else if (order.kind === "draw") await draw(order);
    else {
      const [loaded, ready] = await load(order.base, order.settings, (done, total, what) => tell({ kind: "progress", done, total, what }));
      [model, manifest] = [loaded, ready.manifest];
      tell({ kind: "ready", ready });
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    tell({ kind: "failed", message, ...(order.kind === "draw" && { id: order.id }) });
  }
};

async function draw(order: Order): Promise<void> {
  const own = (signal = { aborted: false });
  const table = manifest.step_tables[order.table]!;
  const drawing = { prompt: order.prompt, seed: BigInt(order.seed), table, guidance: manifest.guidance.scale };
  const steps = table.rows.length;
  const start = performance.now();
  let previews = 0; // milliseconds that the previews took, which are not the picture's
  const onStep = async (step: number, data: Float32Array) => {
    await new Promise((done) => setTimeout(done)); // lets a `stop` in
    if (own.aborted) throw new Cancelled("The drawing was stopped.");
    if (!order.preview || step === steps) return tell({ kind: "step", id: order.id, step, steps });
    const before = performance.now();
    const pixels = await model.decode(data);
    model.timings["decoder"]!.pop();
    tell({ kind: "step", id: order.id, step, steps, pixels: pixels.slice() });
    previews += performance.now() - before;
  };
  const pixels = (await model.draw(drawing, onStep, own)).slice();
  const ms = performance.now() - start - previews;
  tell({ kind: "drawn", id: order.id, pixels, ms, timings: model.timings }, [pixels.buffer]);
}
