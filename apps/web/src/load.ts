/** From an address to a model that is ready to draw. */

import type * as Ort from "onnxruntime-web";

import { loadGraph, loadRuntime, runtimeName, type Backend, type Graph } from "./engine";
import type { Manifest, Package, Variant } from "./manifest";
import { compare } from "./probe";
import type { Ready, Settings } from "./protocol";
import { Store } from "./store";
import { TextToImage } from "./text-to-image";
import { Tokenizer, type TokenizerFile } from "./tokenizer";

export type OnProgress = (done: number, total: number, what: string) => void;

export async function load(base: string, settings: Settings, onProgress: OnProgress): Promise<[TextToImage, Ready]> {
  const start = performance.now();
  const app = (await json(new URL("app.json", base))) as Package;
  const manifest = (await json(new URL("bundle/manifest.json", base))) as Manifest;
  const variant = chosen(manifest, app, settings.variant);
  const gpu = settings.backend !== "wasm" && (await hasWebGpu());
  const { module, binary } = runtimeName(gpu);
  const tokenizerFiles = manifest.tokenizers.map((record) => record.file);
  const graphFiles = Object.values(variant.components).map((component) => component.file);
  const contents = await all(base, app, [binary, ...tokenizerFiles, ...graphFiles], onProgress);

  onProgress(1, 1, "starting");
  const threads = settings.threads ?? (globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 4) : 1);
  const ort = await loadRuntime(base, module, contents[binary]!, threads);
  const graphs = await loadAll(ort, variant, contents, "wasm");
  const [backend, probe] = gpu ? await tryWebGpu(ort, variant, contents, graphs, settings.backend === "webgpu") : (["wasm", noGpu(settings)] as const);
  const tokenizers = manifest.tokenizers.map(
    (record) => new Tokenizer(JSON.parse(new TextDecoder().decode(contents[record.file])) as TokenizerFile, record),
  );
  const ready = { manifest, variant: variant.name, variants: app.variants, backend, threads, probe, title: app.title };
  return [new TextToImage(manifest, variant, graphs, tokenizers), { ...ready, loadMs: performance.now() - start }];
}

/** All files, checked; one after the other, so that a slow network finishes something. */
async function all(base: string, app: Package, names: string[], onProgress: OnProgress): Promise<Record<string, Uint8Array>> {
  const store = await Store.open(base);
  const total = names.flatMap((name) => app.files[name]!.parts).reduce((sum, part) => sum + part.bytes, 0);
  let done = 0;
  const contents: Record<string, Uint8Array> = {};
  for (const name of names) {
    contents[name] = await store.file(name, app.files[name]!, (bytes) => onProgress((done += bytes), total, "loading"));
  }
  return contents;
}

async function loadAll(ort: typeof Ort, variant: Variant, contents: Record<string, Uint8Array>, backend: Backend): Promise<Record<string, Graph>> {
  const graphs: Record<string, Graph> = {};
  for (const [name, component] of Object.entries(variant.components)) {
    graphs[name] = await loadGraph(ort, component, contents[component.file]!, backend);
  }
  return graphs;
}

/** Puts the denoiser on the GPU if its results there are right, and come sooner or are asked for. */
async function tryWebGpu(ort: typeof Ort, variant: Variant, contents: Record<string, Uint8Array>, graphs: Record<string, Graph>, asked: boolean): Promise<[Backend, string]> {
  const denoiser = variant.components["denoiser"]!;
  try {
    const onGpu = await loadGraph(ort, denoiser, contents[denoiser.file]!, "webgpu");
    const verdict = await compare(graphs["denoiser"]!, onGpu, denoiser);
    const found = `WebGPU: ${verdict.webgpuMs.toFixed(1)} ms against ${verdict.wasmMs.toFixed(1)} ms, error ${verdict.error.toExponential(1)}`;
    if (!verdict.agrees || !(verdict.faster || asked)) {
      await onGpu.release();
      return ["wasm", found];
    }
    await graphs["denoiser"]!.release();
    graphs["denoiser"] = onGpu;
    return ["webgpu", found];
  } catch (error) {
    return ["wasm", `WebGPU failed: ${String(error)}`];
  }
}

async function hasWebGpu(): Promise<boolean> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
  return Boolean(await gpu?.requestAdapter().catch(() => null));
}

function noGpu(settings: Settings): string {
  return settings.backend === "wasm" ? "WebGPU was not asked for" : "this browser has no WebGPU";
}

function chosen(manifest: Manifest, app: Package, name = app.variants[0]): Variant {
  const variant = manifest.variants.find((candidate) => candidate.name === name && app.variants.includes(candidate.name));
  if (!variant) throw new Error(`This app has the builds ${app.variants.join(", ")}, not ${name}.`);
  return variant;
}

async function json(url: URL): Promise<unknown> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} cannot be loaded: the server says ${response.status}.`);
  return response.json();
}
