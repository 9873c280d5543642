import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { defineConfig, type Plugin } from "vite";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// ONNX Runtime Web is taken as it was published: its threads load its own module again, by name.
const ORT = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm", "ort.webgpu.min.mjs",
  "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"];

function onnxRuntime(): Plugin {
  return {
    name: "onnxruntime-web",
    generateBundle() {
      for (const name of ORT) {
        const source = readFileSync(at(`node_modules/onnxruntime-web/dist/${name}`));
        this.emitFile({ type: "asset", fileName: `ort/${name}`, source });
      }
    },
  };
}

export default defineConfig({
  base: "./", // any folder of any server
  plugins: [onnxRuntime()],
  build: {
    outDir: at("../fewstep_apps/web/site"), // package data, made by `make apps` and never committed
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    reportCompressedSize: false,
    rollupOptions: {
      input: { index: at("index.html"), sw: at("src/sw.ts") },
      output: {
        // A service worker rules the folder that it lies in, and keeps its name.
        entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
      },
    },
  },
  worker: { format: "es" },
});
