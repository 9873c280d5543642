/** The page's side of the worker. */

import type { FromWorker, Order, Ready, Settings, ToWorker } from "./protocol";

export interface Drawn {
  pixels: Float32Array;
  /** Of the whole drawing without previews, in milliseconds, and of every call into a graph. */
  ms: number;
  timings: Record<string, number[]>;
}

export type OnStep = (step: number, steps: number, pixels?: Float32Array) => void;

export class Client {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private count = 0;

  load(settings: Settings, onProgress: (done: number, total: number, what: string) => void): Promise<Ready> {
    return this.ask({ kind: "load", base: new URL(".", location.href).href, settings }, (message, done) => {
      if (message.kind === "progress") onProgress(message.done, message.total, message.what);
      if (message.kind === "ready") done(message.ready);
    });
  }

  draw(order: Omit<Order, "id">, onStep: OnStep = () => undefined): Promise<Drawn> {
    const id = ++this.count;
    return this.ask({ kind: "draw", id, ...order }, (message, done) => {
      if (message.kind === "step" && message.id === id) onStep(message.step, message.steps, message.pixels);
      if (message.kind === "drawn" && message.id === id) done(message);
    });
  }

  stop(): void {
    this.worker.postMessage({ kind: "stop" } satisfies ToWorker);
  }

  close(): void {
    this.worker.terminate();
  }

  /** One conversation at a time: the page asks again when the last answer is here. */
  private ask<Answer>(order: ToWorker, onMessage: (message: FromWorker, done: (answer: Answer) => void) => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.worker.onerror = (event) => reject(new Error(event.message || "The worker could not be started."));
      this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        if (data.kind === "failed") reject(new Error(data.message));
        else onMessage(data, resolve);
      };
      this.worker.postMessage(order);
    });
  }
}
