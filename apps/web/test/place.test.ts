import { beforeEach, expect, test } from "vitest";

import type { Backend, Graph } from "../src/engine";
import type { Variant } from "../src/manifest";
import { place } from "../src/place";

const component = { file: "", inputs: [{ name: "latents", dtype: "float32", shape: ["batch", 4] }], outputs: [] };
const [int8, fp16] = ["int8", "fp16"].map((name): Variant => ({ name, precision: name, components: { denoiser: component } }));

let open: number;
beforeEach(() => (open = 0));

/** A graph that answers `gain` times its input after so many milliseconds. */
function graph(ms: number, gain = 1): Graph {
  open++;
  return {
    run: async ({ latents }) => {
      await new Promise((done) => setTimeout(done, ms));
      return { velocity: Float32Array.from(latents as Float32Array, (value) => value * gain) };
    },
    release: async () => void open--,
  };
}

/** What `place` finds if graphs take so long, by variant and backend; 0 means that they fail. */
async function found(ms: Record<string, number>, gain = 1, asked = false) {
  const load = async (variant: Variant, backend: Backend) => {
    const took = ms[`${variant.name} ${backend}`] ?? 1;
    if (took === 0) throw new Error("no shader-f16");
    return graph(took, backend === "webgpu" ? gain : 1);
  };
  return place([int8!, fp16!], graph(ms["int8 wasm"]!), load, asked);
}

test("the fastest that is right is taken, and only it stays open", async () => {
  expect(await found({ "int8 wasm": 60, "int8 webgpu": 120, "fp16 webgpu": 5 })).toMatchObject({ variant: "fp16", backend: "webgpu" });
  expect(open).toBe(1); // the one that was given
  expect(await found({ "int8 wasm": 60, "int8 webgpu": 5, "fp16 webgpu": 120 })).toMatchObject({ variant: "int8", backend: "webgpu" });
  expect(await found({ "int8 wasm": 5, "int8 webgpu": 60, "fp16 webgpu": 60 })).toMatchObject({ variant: "int8", backend: "wasm" });
});

test("what computes something else is not taken, however fast", async () => {
  const told = await found({ "int8 wasm": 60, "int8 webgpu": 1, "fp16 webgpu": 1 }, 1.05);
  expect(told).toMatchObject({ variant: "int8", backend: "wasm" });
  expect(told.probe).toContain("error 5.0e-2");
});

test("a graphics card without half precision is told, and the others are still tried", async () => {
  const told = await found({ "int8 wasm": 60, "int8 webgpu": 5, "fp16 webgpu": 0 });
  expect(told).toMatchObject({ variant: "int8", backend: "webgpu" });
  expect(told.probe).toContain("fp16 on WebGPU failed: Error: no shader-f16");
});

test("where WebGPU is asked for it may be slower", async () => {
  expect(await found({ "int8 wasm": 1, "int8 webgpu": 60, "fp16 webgpu": 120 }, 1, true)).toMatchObject({ variant: "int8", backend: "webgpu" });
});
