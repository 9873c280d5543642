import { expect, test } from "vitest";

import { gaussian, philox4x32 } from "../src/noise";
import { golden } from "./data";

const { cases } = golden<{ cases: { seed: string; stream: string; values: number[] }[] }>("noise.json");

// Known answers of Random123 (Salmon et al. 2011), kat_vectors, "philox4x32 10": counter, key, words.
test.each([
  ["00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
  ["ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"],
  ["243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"],
])("philox of %s", (counter, key, expected) => {
  const words = (text: string) => text.split(" ").map((word) => parseInt(word, 16));
  const found = philox4x32(words(counter) as [number, number, number, number], words(key) as [number, number]);
  expect(found).toEqual(words(expected));
});

test.each(cases)("noise of seed $seed, stream $stream", ({ seed, stream, values }) => {
  const found = gaussian(values.length, BigInt(seed), BigInt(stream));
  values.forEach((value, i) => expect(Math.abs(found[i]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2e-7));
});

test("a longer array begins with a shorter one", () => {
  expect(gaussian(9, 7n, 0n).subarray(0, 6)).toEqual(gaussian(6, 7n, 0n));
});
