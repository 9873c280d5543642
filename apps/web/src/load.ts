/** From an address to a model that is ready to draw. */

import { loadGraph, loadRuntime, runtimeName, type Backend, type Graph } from "./engine";
import type { Manifest, Package, Variant } from "./manifest";
import { place, remember, remembered, type Load, type Place } from "./place";
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
  const store = await Store.open(base, !settings.filesHere);
  const tokenizerFiles = manifest.tokenizers.map((record) => record.file);
  const graphFiles = Object.values(variant.components).map((component) => component.file);
  const contents = await all(store, app, [binary, ...tokenizerFiles, ...graphFiles], onProgress);
  await store.tidy(Object.values(app.files));

  onProgress(1, 1, "starting");
  const threads = settings.threads ?? (globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 4) : 1);
  const ort = await loadRuntime(base, module, contents[binary]!, threads);
  const graphs: Record<string, Graph> = {};
  for (const [name, component] of Object.entries(variant.components)) {
    graphs[name] = await loadGraph(ort, component, contents[component.file]!, "wasm");
  }
  const loadDenoiser = async (of: Variant, backend: Backend) => {
    const component = of.components["denoiser"]!;
    Object.assign(contents, component.file in contents ? {} : await all(store, app, [component.file], onProgress));
    return loadGraph(ort, component, contents[component.file]!, backend);
  };
  const found = gpu ? await placed(base, app, manifest, settings, graphs["denoiser"]!, loadDenoiser) : undefined;
  const merged = found ? await moved(manifest, variant, found, graphs, loadDenoiser) : variant;
  const tokenizers = manifest.tokenizers.map(
    (record) => new Tokenizer(JSON.parse(new TextDecoder().decode(contents[record.file])) as TokenizerFile, record),
  );
  const { backend, probe, variant: denoiser } = found ?? { backend: "wasm" as const, probe: noGpu(settings), variant: variant.name };
  const ready = { manifest, variant: variant.name, denoiser, variants: app.variants, backend, threads, probe, title: app.title };
  return [new TextToImage(manifest, merged, graphs, tokenizers), { ...ready, loadMs: performance.now() - start }];
}

/** Where the denoiser shall run: found by an earlier visit, or measured now. The builds in FP16 are tried too, unless one is asked for. */
async function placed(base: string, app: Package, manifest: Manifest, settings: Settings, loaded: Graph, load: Load): Promise<Place> {
  const variant = chosen(manifest, app, settings.variant);
  const key = new URL(`place?${encodeURIComponent(JSON.stringify([app.version, settings]))}`, base).href;
  const kept = await remembered(key);
  if (kept) return { ...kept, probe: `${kept.probe} (at an earlier visit)` };
  const others = manifest.variants.filter((other) => app.variants.includes(other.name) && other.precision === "fp16" && other !== variant);
  const found = await place([variant, ...(settings.variant ? [] : others)], loaded, load, settings.backend === "webgpu");
  await remember(key, found);
  return found;
}

/** The variant with the denoiser of that place, which takes the place of the one in `graphs`. */
async function moved(manifest: Manifest, variant: Variant, found: Place, graphs: Record<string, Graph>, load: Load): Promise<Variant> {
  if (found.backend === "wasm") return variant;
  const other = manifest.variants.find(({ name }) => name === found.variant)!;
  await graphs["denoiser"]!.release();
  graphs["denoiser"] = await load(other, found.backend);
  return { ...variant, components: { ...variant.components, denoiser: other.components["denoiser"]! } };
}

/** All files, checked; one after the other, so that a slow network finishes something. */
async function all(store: Store, app: Package, names: string[], onProgress: OnProgress): Promise<Record<string, Uint8Array>> {
  const total = names.flatMap((name) => app.files[name]!.parts).reduce((sum, part) => sum + part.bytes, 0);
  let done = 0;
  const contents: Record<string, Uint8Array> = {};
  for (const name of names) {
    contents[name] = await store.file(name, app.files[name]!, (bytes) => onProgress((done += bytes), total, "loading"));
  }
  return contents;
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
