// Runs graphs on recorded inputs in ONNX Runtime for WebAssembly and writes the outputs: node benchmarks/int8_wasm.mjs FOLDER
// FOLDER/calls.json: [{"graph", "inputs": {name: {"file", "type", "shape"}}, "output": {"name", "file"}}]; files hold raw little-endian numbers.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(new URL("../apps/web/package.json", import.meta.url));
const ort = require("onnxruntime-web");
ort.env.wasm.numThreads = 1;
const ARRAYS = { float32: Float32Array, int32: Int32Array };

const folder = process.argv[2];
const sessions = new Map();
const times = [];
for (const call of JSON.parse(readFileSync(join(folder, "calls.json"), "utf8"))) {
  if (!sessions.has(call.graph)) {
    const bytes = readFileSync(join(folder, call.graph));
    sessions.set(call.graph, await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }));
  }
  const feeds = {};
  for (const [name, { file, type, shape }] of Object.entries(call.inputs)) {
    const bytes = readFileSync(join(folder, file));
    const data = new ARRAYS[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    feeds[name] = new ort.Tensor(type, data, shape);
  }
  const begin = performance.now();
  const results = await sessions.get(call.graph).run(feeds);
  times.push({ graph: call.graph, milliseconds: performance.now() - begin });
  writeFileSync(join(folder, call.output.file), Buffer.from(results[call.output.name].data.buffer));
}
console.log(JSON.stringify({ times, version: ort.env.versions.web }));
