/** The drawing page: reads the form, asks the worker, shows what comes. */

import { Client, type Drawn } from "./client";
import { Chips, fillSteps, nextSeed } from "./controls";
import type { Backend } from "./engine";
import { element, engineName, megabytes } from "./page";
import { Picture } from "./picture";
import type { Ready, Settings } from "./protocol";

const go = element<HTMLButtonElement>("go");
const status = element("status");
const progress = element<HTMLProgressElement>("progress");
const prompt = element<HTMLTextAreaElement>("prompt");
const seed = element<HTMLInputElement>("seed");
const steps = element<HTMLSelectElement>("steps");
const variant = element<HTMLSelectElement>("variant");
const preview = element<HTMLInputElement>("preview");
const picture = new Picture();
let client = new Client();
let styles: Chips | undefined;
let drawing = false;
let selected: string | undefined;

export function start(): void {
  element("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (drawing) client.stop();
    else void draw();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    if (!drawing && !go.disabled) void draw();
  });
  element("dice").addEventListener("click", () => (seed.value = nextSeed()));
  variant.addEventListener("change", () => {
    selected = variant.value;
    void load();
  });
  void load();
}

/** Options of the address, for tests and for comparing: ?threads=1&backend=wasm&variant=fp32 */
function settings(): Settings {
  const asked = new URLSearchParams(location.search);
  const threads = Number(asked.get("threads")) || undefined;
  const backend = asked.get("backend") as Backend | null;
  const name = selected ?? asked.get("variant");
  const filesHere = asked.get("files") === "here";
  return { ...(backend && { backend }), ...(threads && { threads }), ...(name && { variant: name }), ...(filesHere && { filesHere }) };
}

async function load(): Promise<void> {
  client.close();
  client = new Client();
  go.disabled = true;
  try {
    const ready = await client.load(settings(), (done, total, what) => {
      progress.value = done / total;
      status.textContent = what === "loading" ? `Loading the model: ${megabytes(done)} of ${megabytes(total)}` : "Starting the model";
    });
    show(ready);
    status.textContent = "";
    go.disabled = false;
  } catch (error) {
    fail(error, "Reload the page to try again.");
  }
}

function show(ready: Ready): void {
  const { manifest } = ready;
  document.title = element("title").textContent = ready.title;
  const engine = element("engine");
  engine.textContent = engineName(ready);
  engine.title = ready.probe;
  picture.size = manifest.image.size;
  if (styles === undefined) {
    styles = new Chips(element("styles"), manifest.prompts.styles);
    showIdeas(manifest.prompts.examples);
    prompt.placeholder = manifest.prompts.examples[0] ?? "";
    fillSteps(steps, manifest);
    variant.replaceChildren(...ready.variants.map((name) => new Option(name, name, false, name === ready.variant)));
    element("variant-field").hidden = ready.variants.length < 2;
  }
}

function showIdeas(examples: string[]): void {
  const buttons = examples.slice(0, 8).map((text) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => (prompt.value = text));
    return button;
  });
  element("ideas").replaceChildren(...buttons);
}

async function draw(): Promise<void> {
  const words = prompt.value.trim() || prompt.placeholder;
  const text = styles?.chosen ? `${words}, ${styles.chosen} style` : words;
  if (!seed.reportValidity()) return;
  busy(true);
  try {
    const order = { prompt: text, seed: seed.value, table: steps.value, preview: preview.checked };
    const drawn = await client.draw(order, (step, all, pixels) => {
      progress.value = step / all;
      status.textContent = `Step ${step} of ${all}`;
      if (pixels) picture.show(pixels, `${text}, not finished`);
    });
    picture.finish(drawn.pixels, text, seed.value);
    status.textContent = told(drawn);
  } catch (error) {
    fail(error);
  } finally {
    busy(false);
  }
}

function told({ ms, timings }: Drawn): string {
  const calls = timings["denoiser"] ?? [];
  const mean = calls.reduce((sum, call) => sum + call, 0) / calls.length;
  return `${(ms / 1000).toFixed(2)} s, ${calls.length} steps of ${mean.toFixed(0)} ms`;
}

function busy(now: boolean): void {
  drawing = now;
  go.textContent = now ? "Stop" : "Draw";
  element("form").classList.toggle("busy", now);
  if (!now) progress.value = 0;
}

function fail(error: unknown, advice = ""): void {
  const message = error instanceof Error ? error.message : String(error);
  status.textContent = `${message} ${advice}`.trim();
}
