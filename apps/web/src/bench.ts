/** The benchmark: what `fewstep bench --device web` asks a phone for. Times are in milliseconds. */

import { Client } from "./client";
import type { Backend } from "./engine";
import type { Ready } from "./protocol";

/** Served by the computer, at job/TOKEN. */
export interface Job {
  device: string;
  prompt: string;
  seed: number;
  warmup: number;
  runs: number;
  sustained_s: number;
  threads: number | null;
  backend: Backend | null;
}

/** One drawing: all of it, and every call into a graph by component. */
export interface Run {
  ms: number;
  calls: Record<string, number[]>;
}

export interface Report {
  format: "fewstep-web-bench";
  version: 1;
  device: string;
  state: "loading" | "running" | "done" | "failed";
  error: string | null;
  date: string;
  browser: Record<string, unknown>;
  build: { bundle: string; variant: string; backend: string; threads: number; probe: string; steps: number; load_ms: number } | null;
  first: Run | null;
  runs: Run[];
  /** Whole drawings one after the other, to see throttling: (seconds since the beginning, milliseconds). */
  sustained: [number, number][];
  battery: [number, number] | null;
  memory_bytes: number | null;
}

interface Battery {
  level: number;
}

export function emptyReport(job: Job): Report {
  return {
    format: "fewstep-web-bench",
    version: 1,
    device: job.device,
    state: "loading",
    error: null,
    date: new Date().toISOString(),
    browser: {
      user_agent: navigator.userAgent,
      cores: navigator.hardwareConcurrency,
      secure: globalThis.isSecureContext,
      isolated: globalThis.crossOriginIsolated,
      webgpu: "gpu" in navigator,
      memory_gb: (navigator as { deviceMemory?: number }).deviceMemory ?? null,
    },
    build: null,
    first: null,
    runs: [],
    sustained: [],
    battery: null,
    memory_bytes: null,
  };
}

/** Fills the report; `onChange` is told of every new figure and may fail. */
export async function measure(job: Job, report: Report, onChange: (what: string) => Promise<void>): Promise<void> {
  const client = new Client();
  const settings = { ...(job.backend && { backend: job.backend }), ...(job.threads && { threads: job.threads }) };
  const ready = await client.load(settings, (done, total, what) => void onChange(`${what} ${Math.round((100 * done) / total)} %`));
  report.build = built(ready);
  report.state = "running";
  const charge = await battery();
  const table = ready.manifest.default_step_table;
  const draw = async (seed: number): Promise<Run> => {
    const { ms, timings } = await client.draw({ prompt: job.prompt, seed: String(seed), table, preview: false });
    return { ms, calls: timings };
  };
  report.first = await draw(job.seed);
  await onChange("first picture");
  for (let i = 0; i < job.warmup; i++) await draw(job.seed);
  for (let i = 0; i < job.runs; i++) {
    report.runs.push(await draw(job.seed + i));
    await onChange(`run ${i + 1} of ${job.runs}`);
  }
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  // Until a drawing ends after the asked time: what telling of it takes does not count.
  for (let end = 0; end < job.sustained_s; ) {
    const { ms } = await draw(job.seed);
    end = seconds();
    report.sustained.push([end, ms]);
    await onChange(`sustained: ${Math.round(seconds())} of ${job.sustained_s} s`);
  }
  const after = await battery();
  report.battery = charge === null || after === null ? null : [charge, after];
  report.memory_bytes = (performance as { memory?: { usedJSHeapSize: number } }).memory?.usedJSHeapSize ?? null;
  report.state = "done";
  client.close();
}

function built(ready: Ready): Report["build"] {
  const { manifest, backend, threads, probe, loadMs } = ready;
  const variant = ready.denoiser === ready.variant ? ready.variant : `${ready.variant}, denoiser ${ready.denoiser}`;
  const steps = manifest.step_tables[manifest.default_step_table]!.rows.length;
  return { bundle: manifest.name, variant, backend, threads, probe, steps, load_ms: loadMs };
}

/** The charge, 0 to 1, where the browser tells it. */
async function battery(): Promise<number | null> {
  const found = await (navigator as { getBattery?: () => Promise<Battery> }).getBattery?.().catch(() => null);
  return found?.level ?? null;
}
