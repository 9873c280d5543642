/** Pictures of the decoder as 8-bit RGBA. The same rounding as `runtime/fewstep/image.py`. */

/** (3 or 4, H, W) in [0, 1] -> RGBA bytes with straight alpha. */
export function toRgba(image: Float32Array, size: number): Uint8ClampedArray<ArrayBuffer> {
  const pixels = size * size;
  const rgba = new Uint8ClampedArray(4 * pixels);
  const opaque = image.length === 3 * pixels;
  for (let i = 0; i < pixels; i++) {
    const alpha = opaque ? 1 : clamp(image[3 * pixels + i]!, 1);
    for (let channel = 0; channel < 3; channel++) {
      const premultiplied = clamp(image[channel * pixels + i]!, alpha);
      rgba[4 * i + channel] = level(alpha > 0 ? Math.fround(premultiplied / alpha) : 0);
    }
    rgba[4 * i + 3] = level(alpha);
  }
  return rgba;
}

function clamp(value: number, high: number): number {
  return Math.min(Math.max(value, 0), high);
}

function level(value: number): number {
  return Math.floor(Math.fround(Math.fround(value * 255) + 0.5));
}
