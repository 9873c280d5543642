/** What the page and its worker tell each other. */

import type { Backend } from "./engine";
import type { Manifest } from "./manifest";

export interface Settings {
  /** A variant of the package; its first if not given. */
  variant?: string;
  threads?: number;
  /** WebAssembly alone, or WebGPU wherever it is right, though slower; the faster one if not given. */
  backend?: Backend;
  /** The files come out of the app around the page, and need not be kept once more. */
  filesHere?: true;
}

export interface Ready {
  manifest: Manifest;
  variant: string;
  /** The variant whose denoiser it is: on WebGPU it may be another. */
  denoiser: string;
  variants: string[];
  backend: Backend;
  threads: number;
  /** Why WebGPU was not taken, or what its probe found. */
  probe: string;
  loadMs: number;
  title: string;
}

export interface Order {
  id: number;
  prompt: string;
  seed: string;
  table: string;
  preview: boolean;
}

export type ToWorker = { kind: "load"; base: string; settings: Settings } | ({ kind: "draw" } & Order) | { kind: "stop" };

export type FromWorker =
  | { kind: "progress"; done: number; total: number; what: string }
  | { kind: "ready"; ready: Ready }
  | { kind: "step"; id: number; step: number; steps: number; pixels?: Float32Array }
  | { kind: "drawn"; id: number; pixels: Float32Array; ms: number; timings: Record<string, number[]> }
  | { kind: "failed"; id?: number; message: string };
