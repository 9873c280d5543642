import { expect, test } from "vitest";

import { toRgba } from "../src/pixels";

test("premultiplied colours become straight ones; nothing is left of what is clear", () => {
  // Two by two pixels: opaque, half, clear with colour left over, and out of range.
  const red = [1, 0.25, 0.5, 2];
  const green = [0.5, 0, 0.5, -1];
  const blue = [0, 0, 0.5, 0.5];
  const alpha = [1, 0.5, 0, 1.5];
  const rgba = toRgba(Float32Array.from([red, green, blue, alpha].flat()), 2);
  expect(Array.from(rgba)).toEqual([255, 128, 0, 255, 128, 0, 0, 128, 0, 0, 0, 0, 255, 0, 128, 255]);
});

test("three channels are opaque", () => {
  expect(Array.from(toRgba(Float32Array.of(1, 0, 0.5), 1))).toEqual([255, 0, 128, 255]);
});
