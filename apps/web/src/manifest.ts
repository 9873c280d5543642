/** What the app reads of a bundle; `docs/architecture.md` describes all of it. `fewstep package` checked it against the schema. */

export interface StepRow {
  timestep: number;
  input_scale: number;
  data: [number, number];
  state: number[][];
  output: number[];
  noise: number[];
}

export interface StepTable {
  sampler: string;
  initial_scale: number;
  rows: StepRow[];
}

export interface Port {
  name: string;
  dtype: string;
  shape: (number | string)[];
}

export interface Component {
  file: string;
  inputs: Port[];
  outputs: Port[];
}

export interface Variant {
  name: string;
  precision: string;
  components: Record<string, Component>;
}

export interface Template {
  before: string;
  after: string;
  skip: number;
}

export interface TokenizerRecord {
  file: string;
  max_length: number;
  lowercase: boolean;
  prompt: Template;
  negative: Template;
}

export interface Manifest {
  name: string;
  variants: Variant[];
  files: Record<string, { sha256: string; bytes: number }>;
  step_tables: Record<string, StepTable>;
  default_step_table: string;
  guidance: { scale: number; negative_prompt: string | null };
  latent: { shape: [number, number, number]; scale: number[]; shift: number[] };
  image: { size: number; channels: "RGB" | "RGBA" };
  tokenizers: TokenizerRecord[];
  prompts: { styles: string[]; examples: string[] };
}

/** A file cut into gzipped parts, so that any static server will do and a broken download goes on where it broke. */
export interface PartedFile {
  sha256: string;
  bytes: number;
  parts: { path: string; bytes: number }[];
}

/** `app.json`, written by `fewstep package`: what is there to load. */
export interface Package {
  version: string;
  title: string;
  variants: string[];
  files: Record<string, PartedFile>;
}
