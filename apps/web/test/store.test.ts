import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

import { beforeEach, expect, test } from "vitest";

import type { PartedFile } from "../src/manifest";
import { IntegrityError, Store, type Parts } from "../src/store";

const content = Uint8Array.from({ length: 3000 }, (_, i) => (i * i) % 251);
const pieces = [content.subarray(0, 1000), content.subarray(1000, 2000), content.subarray(2000)].map((piece) => new Uint8Array(gzipSync(piece)));
const file: PartedFile = {
  sha256: createHash("sha256").update(content).digest("hex"),
  bytes: content.length,
  parts: pieces.map((piece, k) => ({ path: `parts/${k}.bin`, bytes: piece.length })),
};
const wrong = new Uint8Array(gzipSync(new Uint8Array(1000)));

/** A server of the parts, and what it was asked for; `answers` says otherwise for a part, once each. */
let asked: number[];
let answers: Map<number, (Response | Error)[]>;
let kept: Map<string, Response>;

const cache: Parts = {
  match: async (url) => kept.get(String(url))?.clone(),
  put: async (url, response) => void kept.set(String(url), response),
  delete: async (request) => kept.delete(request instanceof Request ? request.url : String(request)),
  keys: async () => [...kept.keys()].map((url) => new Request(url)),
};

async function serve(url: RequestInfo | URL): Promise<Response> {
  const k = Number(/(\d)\.bin$/.exec(String(url))![1]);
  asked.push(k);
  const answer = answers.get(k)?.shift() ?? new Response(pieces[k]!);
  if (answer instanceof Error) throw answer;
  return answer;
}

function store(): Store {
  return new Store("https://app.test/", cache, serve, async () => undefined);
}

beforeEach(() => {
  asked = [];
  answers = new Map();
  kept = new Map();
});

test("a file is put together, and comes from the cache afterwards", async () => {
  let bytes = 0;
  expect(await store().file("model", file, (more) => (bytes += more))).toEqual(content);
  expect(await store().file("model", file)).toEqual(content);
  expect(asked).toEqual([0, 1, 2]);
  expect(bytes).toBe(pieces.reduce((sum, piece) => sum + piece.length, 0));
});

test("a network that fails a few times is asked again, for the part alone", async () => {
  answers.set(1, [new TypeError("network"), new Response("busy", { status: 503 }), new Response(pieces[1]!.subarray(0, 40))]);
  expect(await store().file("model", file)).toEqual(content);
  expect(asked).toEqual([0, 1, 1, 1, 1, 2]);
});

test("a visit after a broken one goes on where it broke", async () => {
  answers.set(2, Array.from({ length: 5 }, () => new TypeError("network")));
  await expect(store().file("model", file)).rejects.toThrow("network");
  expect(await store().file("model", file)).toEqual(content);
  expect(asked.filter((k) => k < 2)).toEqual([0, 1]);
});

test("another file than the manifest's is thrown away and loaded again", async () => {
  answers.set(1, [new Response(wrong)]);
  expect(await store().file("model", file)).toEqual(content);
  expect(asked).toEqual([0, 1, 2, 0, 1, 2]);
});

test("a server that keeps another file is refused", async () => {
  answers.set(1, [new Response(wrong), new Response(wrong)]);
  await expect(store().file("model", file)).rejects.toThrow(IntegrityError);
  expect(kept.size).toBe(0);
});

test("parts of an older package go away, those of this one and of other folders stay", async () => {
  await store().file("model", file);
  kept.set("https://app.test/parts/old.bin", new Response());
  kept.set("https://other.test/parts/old.bin", new Response());
  await store().tidy([file]);
  expect([...kept.keys()].sort()).toEqual([...file.parts.map((part) => `https://app.test/${part.path}`), "https://other.test/parts/old.bin"]);
});
