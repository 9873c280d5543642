/** The big picture, the shelf of what was drawn, and the way out of the app. */

import { hand, host } from "./host";
import { element } from "./page";
import { toRgba } from "./pixels";

const SHELF_LIMIT = 24;

interface Sticker {
  file: File;
  text: string;
}

export class Picture {
  private readonly canvas = element<HTMLCanvasElement>("picture");
  private readonly download = element<HTMLButtonElement>("download");
  private readonly share = element<HTMLButtonElement>("share");
  private readonly shelf = element("shelf");
  /** Pixels of a side. */
  size = 0;
  private current: Sticker | undefined;

  constructor() {
    const told = (error: unknown) => (element("status").textContent = error instanceof Error ? error.message : String(error));
    this.download.addEventListener("click", () => void this.save().catch(told));
    this.share.addEventListener("click", () => void this.send().catch(told));
  }

  /** Shows the decoder's output (channels, H, W) with that description. */
  show(pixels: Float32Array, description: string): void {
    this.canvas.width = this.canvas.height = this.size;
    this.canvas.getContext("2d")!.putImageData(new ImageData(toRgba(pixels, this.size), this.size, this.size), 0, 0);
    this.canvas.setAttribute("aria-label", description);
    element("hint").hidden = true;
  }

  /** Shows the finished picture, and puts it on the shelf. */
  finish(pixels: Float32Array, text: string, seed: string): void {
    this.show(pixels, text);
    this.canvas.toBlob((blob) => {
      if (!blob) return;
      const name = `${text.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}-${seed}.png`;
      const sticker = { file: new File([blob], name, { type: "image/png" }), text };
      this.choose(sticker);
      this.keep(sticker);
    }, "image/png");
  }

  private choose(sticker: Sticker): void {
    this.current = sticker;
    this.download.disabled = false;
    this.share.disabled = false;
    this.share.hidden = !host && !navigator.canShare?.({ files: [sticker.file] });
  }

  private keep(sticker: Sticker): void {
    const button = document.createElement("button");
    const image = new Image();
    image.src = URL.createObjectURL(sticker.file);
    image.alt = sticker.text;
    button.type = "button";
    button.title = sticker.text;
    button.append(image);
    button.addEventListener("click", () => this.bring(sticker, image));
    this.shelf.prepend(button);
    this.shelf.hidden = false;
    if (this.shelf.children.length > SHELF_LIMIT) this.shelf.lastElementChild!.remove();
  }

  private bring(sticker: Sticker, image: HTMLImageElement): void {
    this.canvas.width = this.canvas.height = image.naturalWidth;
    this.canvas.getContext("2d")!.drawImage(image, 0, 0);
    this.canvas.setAttribute("aria-label", sticker.text);
    this.choose(sticker);
  }

  private async save(): Promise<void> {
    if (!this.current) return;
    if (host) return hand(this.current.file, (name, base64) => host!.save(name, base64));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(this.current.file);
    link.download = this.current.file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  private async send(): Promise<void> {
    if (!this.current) return;
    if (host) return hand(this.current.file, (name, base64) => host!.share(name, base64));
    await navigator.share({ files: [this.current.file], text: this.current.text }).catch(() => undefined); // taken back
  }
}
