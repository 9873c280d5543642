/**
 * The files of the package: loaded part by part, checked, kept.
 *
 * A part that arrived stays in the browser's cache, so that a broken download goes on where it broke, in this visit or the
 * next. A file whose SHA-256 is not the manifest's is thrown away and loaded once more; then it is refused.
 */

import type { PartedFile } from "./manifest";
import { Sha256 } from "./sha256";

const ATTEMPTS = 5;
const FIRST_PAUSE_MS = 500;
export const CACHE = "fewstep-parts";

export type OnBytes = (bytes: number) => void;

/** What `Store` needs of `Cache`; absent on pages that came by plain HTTP, which then load again at every visit. */
export type Parts = Pick<Cache, "match" | "put" | "delete" | "keys">;

export class IntegrityError extends Error {}

export class Store {
  constructor(
    private readonly base: string,
    private readonly parts: Parts | undefined,
    private readonly load: typeof fetch = (...request) => fetch(...request),
    private readonly pause = (ms: number) => new Promise<void>((done) => setTimeout(done, ms)),
  ) {}

  /** With `keep`, parts stay in the browser, where it can. */
  static async open(base: string, keep: boolean): Promise<Store> {
    return new Store(base, keep && globalThis.caches ? await caches.open(CACHE) : undefined);
  }

  /** The whole file, checked. Throws an IntegrityError if the server keeps another one. */
  async file(name: string, file: PartedFile, onBytes: OnBytes = () => undefined): Promise<Uint8Array> {
    for (let attempt = 0; attempt < 2; attempt++) {
      const content = await this.assembled(file, onBytes);
      if (content.length === file.bytes && new Sha256().update(content).hex() === file.sha256) return content;
      await Promise.all(file.parts.map((part) => this.parts?.delete(this.url(part.path))));
      onBytes(-file.parts.reduce((sum, part) => sum + part.bytes, 0));
    }
    throw new IntegrityError(`${name} is not the file that this app was made with; it was loaded twice and refused.`);
  }

  /** Throws away kept parts that the package no longer has, as after an update. */
  async tidy(files: PartedFile[]): Promise<void> {
    const current = new Set(files.flatMap((file) => file.parts.map((part) => this.url(part.path))));
    const ours = ((await this.parts?.keys()) ?? []).filter(({ url }) => url.startsWith(this.base));
    await Promise.all(ours.filter(({ url }) => !current.has(url)).map((request) => this.parts!.delete(request)));
  }

  private async assembled(file: PartedFile, onBytes: OnBytes): Promise<Uint8Array> {
    const content = new Uint8Array(file.bytes);
    let at = 0;
    for (const part of file.parts) {
      const bytes = await this.part(part.path);
      content.set(bytes.subarray(0, file.bytes - at), at);
      at += bytes.length;
      onBytes(part.bytes);
    }
    return at === file.bytes ? content : new Uint8Array();
  }

  /** A part, unpacked: from the cache, or from the network, which may fail a few times. */
  private async part(path: string): Promise<Uint8Array> {
    const url = this.url(path);
    const kept = await this.parts?.match(url);
    if (kept) {
      const bytes = await unpacked(kept).catch(() => undefined);
      if (bytes) return bytes;
      await this.parts?.delete(url); // damaged in the cache
    }
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await this.load(url, { cache: "no-cache" });
        if (!response.ok) throw new Error(`the server says ${response.status} for ${path}`);
        const packed = await response.arrayBuffer();
        const bytes = await unpacked(new Response(packed));
        await this.parts?.put(url, new Response(packed)).catch(() => undefined); // a full disk is no reason to stop
        return bytes;
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
        await this.pause(FIRST_PAUSE_MS * 2 ** (attempt - 1));
      }
    }
  }

  private url(path: string): string {
    return new URL(path, this.base).href;
  }
}

/** The content of a gzipped response; gzip's own CRC refuses most damage here already. */
async function unpacked(response: Response): Promise<Uint8Array> {
  if (!response.body) throw new Error("the answer is empty");
  const stream = response.body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
