import { createHash } from "node:crypto";

import { expect, test } from "vitest";

import { Sha256 } from "../src/sha256";

test.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003])("the digest of %d bytes is Node's", (length) => {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 7919) % 251);
  expect(new Sha256().update(bytes).hex()).toBe(createHash("sha256").update(bytes).digest("hex"));
});

test("pieces give the digest of the whole", () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => i % 256);
  const inPieces = new Sha256().update(bytes.subarray(0, 1)).update(bytes.subarray(1, 130)).update(bytes.subarray(130));
  expect(inPieces.hex()).toBe(new Sha256().update(bytes).hex());
});
