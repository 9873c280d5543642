/** The golden files that Python's tests are run against too. */

import { readFileSync } from "node:fs";

export function golden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../tests/data/${name}`, import.meta.url), "utf-8")) as T;
}
