/**
 * The Gaussian noise of every language of the project: Philox 4x32-10 and the Box-Muller transform.
 * `runtime/fewstep/noise.py` holds the whole definition; the numbered steps below are its own.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;
const ROUNDS = 10;
const LOW = 0xffffffffn;

type Words = [number, number, number, number];

/** Step 1: ten rounds of Philox; all words are unsigned 32-bit numbers. */
export function philox4x32([c0, c1, c2, c3]: Words, [k0, k1]: [number, number]): Words {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(M0, c0);
    const high1 = multiplyHigh(M1, c2);
    const low0 = Math.imul(M0, c0) >>> 0;
    const low1 = Math.imul(M1, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    [k0, k1] = [(k0 + W0) >>> 0, (k1 + W1) >>> 0];
  }
  return [c0, c1, c2, c3];
}

/** Independent N(0, 1) numbers that depend on (seed, stream) alone; both from 0 to 2^64 - 1. */
export function gaussian(size: number, seed: bigint, stream: bigint): Float32Array {
  const key: [number, number] = [Number(seed & LOW), Number(seed >> 32n)];
  const [s0, s1] = [Number(stream & LOW), Number(stream >> 32n)];
  const out = new Float32Array(size);
  for (let block = 0; 4 * block < size; block++) {
    const words = philox4x32([block >>> 0, Math.floor(block / 2 ** 32), s0, s1], key);
    for (const pair of [0, 2] as const) {
      const radius = Math.sqrt(-2 * Math.log((words[pair] + 1) / 2 ** 32)); // steps 3 and 4
      const angle = 2 * Math.PI * ((words[pair === 0 ? 1 : 3] + 1) / 2 ** 32);
      out[4 * block + pair] = radius * Math.cos(angle); // beyond the end nothing is written: step 5
      out[4 * block + pair + 1] = radius * Math.sin(angle);
    }
  }
  return out;
}

/** The upper half of a 64-bit product, from four 16-bit ones: a double cannot hold it. */
function multiplyHigh(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle % 65536);
  return aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536);
}
