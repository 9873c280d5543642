/** Controls of the form. */

import type { Manifest } from "./manifest";

/** One style or none, as radio buttons that look like chips. */
export class Chips {
  constructor(
    private readonly group: HTMLElement,
    styles: string[],
  ) {
    const choices = ["any", ...styles].map((style, i) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "style", value: i === 0 ? "" : style, checked: i === 0 });
      label.append(input, style);
      return label;
    });
    group.append(...choices);
    group.hidden = styles.length === 0;
  }

  get chosen(): string {
    return this.group.querySelector<HTMLInputElement>("input:checked")?.value ?? "";
  }
}

/** One entry for every step table of the bundle, hidden if there is but one. */
export function fillSteps(select: HTMLSelectElement, manifest: Manifest): void {
  const names = Object.keys(manifest.step_tables);
  const counts = names.map((name) => manifest.step_tables[name]!.rows.length);
  const options = names.map((name, i) => {
    const alone = counts.filter((count) => count === counts[i]).length === 1;
    const label = alone ? String(counts[i]) : `${counts[i]} (${manifest.step_tables[name]!.sampler})`;
    return new Option(label, name, false, name === manifest.default_step_table);
  });
  select.replaceChildren(...options);
  document.getElementById("steps-field")!.hidden = names.length < 2;
}

/** Short enough to tell a friend. */
export function nextSeed(): string {
  return String(Math.floor(Math.random() * 100_000));
}
