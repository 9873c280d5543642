import { expect, test } from "vitest";

import { Tokenizer, type TokenizerFile } from "../src/tokenizer";
import { golden } from "./data";

const plain = { before: "", after: "", skip: 0 };
const record = { file: "tokenizer.json", max_length: 8, lowercase: false, prompt: plain, negative: { ...plain, skip: 2 } };
const { tokenizer: file, cases } = golden<{ tokenizer: TokenizerFile; cases: { text: string; ids: number[] }[] }>("tokens.json");
const tokenizer = new Tokenizer(file, record);

test.each(cases)("tokens of $text", ({ text, ids }) => expect(tokenizer.ids(text)).toEqual(ids));

test("a prompt is padded, and its mask says so", () => {
  const { input_ids, text_mask, text_skip } = tokenizer.encode("red heart", true);
  expect(Array.from(input_ids)).toEqual([...tokenizer.ids("red heart"), 0, 0, 0, 0]);
  expect(Array.from(text_mask)).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
  expect(Array.from(text_skip)).toEqual([2]);
});

test("a prompt that is too long is refused with both numbers", () => {
  expect(() => tokenizer.encode("red ".repeat(9))).toThrow(/11 tokens; at most 8/);
});
