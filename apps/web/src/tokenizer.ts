/**
 * WordPiece with BERT's normalisation, as the `tokenizers` package computes it from the same tokenizer.json.
 * `fewstep package` refuses a bundle whose tokenizer is another one.
 */

import type { Template, TokenizerRecord } from "./manifest";

interface Special {
  SpecialToken?: { id: string };
}

export interface TokenizerFile {
  padding: { pad_id: number } | null;
  added_tokens: { id: number; content: string }[];
  normalizer: { clean_text: boolean; handle_chinese_chars: boolean; strip_accents: boolean | null; lowercase: boolean } | null;
  post_processor: { single: Special[]; special_tokens: Record<string, { ids: number[] }> } | null;
  model: {
    vocab: Record<string, number>;
    unk_token: string;
    continuing_subword_prefix: string;
    max_input_chars_per_word: number;
  };
}

export interface Tokens {
  input_ids: Int32Array;
  text_mask: Float32Array;
  text_skip: Int32Array;
}

const CHINESE = /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;
// ASCII symbols like $ + < count as punctuation too.
const PUNCTUATION = /([!-/:-@[-`{-~]|\p{P})/u;

export class Tokenizer {
  private readonly vocabulary: Map<string, number>;
  private readonly added: Map<string, number>;
  private readonly addedPattern: RegExp | undefined;

  constructor(
    private readonly file: TokenizerFile,
    private readonly record: TokenizerRecord,
  ) {
    this.vocabulary = new Map(Object.entries(file.model.vocab));
    this.added = new Map(file.added_tokens.map((token) => [token.content, token.id]));
    const contents = [...this.added.keys()].map((content) => content.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    this.addedPattern = contents.length > 0 ? new RegExp(`(${contents.join("|")})`) : undefined;
  }

  /** The tensors of one prompt, or of a negative prompt, inside its template. Throws if it has too many tokens. */
  encode(text: string, negative = false): Tokens {
    const template: Template = negative ? this.record.negative : this.record.prompt;
    const prompt = this.record.lowercase ? text.trim().toLowerCase() : text;
    const ids = this.ids(template.before + prompt + template.after);
    const length = this.record.max_length;
    if (ids.length > length) {
      throw new RangeError(`This prompt has ${ids.length} tokens; at most ${length} fit. Shorten it.`);
    }
    const inputIds = new Int32Array(length).fill(this.file.padding?.pad_id ?? this.vocabulary.get("[PAD]") ?? 0);
    inputIds.set(ids);
    return {
      input_ids: inputIds,
      text_mask: new Float32Array(length).fill(1, 0, ids.length),
      text_skip: Int32Array.of(template.skip),
    };
  }

  /** Token numbers with the special tokens around them, without padding. */
  ids(text: string): number[] {
    const pieces = this.addedPattern ? text.split(this.addedPattern) : [text];
    const body = pieces.flatMap((piece) => {
      const id = this.added.get(piece);
      return id === undefined ? this.words(piece).flatMap((word) => this.pieces(word)) : [id];
    });
    const processor = this.file.post_processor;
    if (!processor) return body;
    return processor.single.flatMap(({ SpecialToken: token }) =>
      token ? (processor.special_tokens[token.id]?.ids ?? []) : body,
    );
  }

  /** BertNormalizer, then BertPreTokenizer. */
  private words(text: string): string[] {
    const options = this.file.normalizer;
    if (options?.clean_text) text = clean(text);
    if (options?.handle_chinese_chars) text = text.replace(CHINESE, " $& ");
    if (options?.strip_accents ?? options?.lowercase) text = text.normalize("NFD").replace(/\p{Mn}/gu, "");
    // Character by character, as Rust does: a whole string would turn a last sigma into another letter.
    if (options?.lowercase) text = Array.from(text, (character) => character.toLowerCase()).join("");
    return text.split(/\p{White_Space}+/u).flatMap((word) => word.split(PUNCTUATION)).filter((word) => word !== "");
  }

  /** The longest pieces of the vocabulary, from left to right; one unknown token if they do not fill the word. */
  private pieces(word: string): number[] {
    const { unk_token, continuing_subword_prefix: prefix, max_input_chars_per_word: limit } = this.file.model;
    const unknown = [this.vocabulary.get(unk_token) ?? 0];
    const characters = Array.from(word);
    if (characters.length > limit) return unknown;
    const ids: number[] = [];
    for (let start = 0; start < characters.length; ) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start && id === undefined; end--) {
        id = this.vocabulary.get((start > 0 ? prefix : "") + characters.slice(start, end).join(""));
      }
      if (id === undefined) return unknown;
      ids.push(id);
      start = end + 1;
    }
    return ids;
  }
}

/** Without control characters, every white space a blank. */
function clean(text: string): string {
  return text.replace(/[\t\n\r]/g, " ").replace(/[\0\uFFFD]|\p{Cc}|\p{Cf}|\p{Cn}|\p{Co}/gu, "").replace(/\p{White_Space}/gu, " ");
}
