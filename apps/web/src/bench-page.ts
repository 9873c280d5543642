/** The page that a phone shows while it is measured. */

import { emptyReport, measure, type Job, type Report } from "./bench";
import { element, engineName } from "./page";

const RETRY_MS = 2000;
const RETRIES = 30;
const NEWS_MS = 1000; // between two reports while it runs

export async function start(token: string): Promise<void> {
  const page = element("bench");
  const title = document.createElement("h2");
  title.textContent = "Benchmark";
  const status = document.createElement("p");
  status.setAttribute("role", "status");
  const table = document.createElement("table");
  page.append(title, status, table);

  const answer = await fetch(`job/${token}`);
  if (!answer.ok) {
    status.textContent = "This link is no longer valid. Scan the code of the running command again.";
    return;
  }
  const job = (await answer.json()) as Job;
  const report = emptyReport(job);
  let told = 0;
  try {
    await measure(job, report, async (what) => {
      status.textContent = what;
      show(table, report);
      if (report.state !== "running" || performance.now() - told < NEWS_MS) return;
      told = performance.now();
      await post(token, report, 1);
    });
    status.textContent = "Done; sending the result.";
  } catch (error) {
    report.state = "failed";
    report.error = error instanceof Error ? error.message : String(error);
  }
  show(table, report);
  const sent = await post(token, report, RETRIES);
  status.textContent = report.error ?? (sent ? "Done. The result is on the computer; this page may be closed." : "Done, but the computer no longer answers.");
}

/** Whether the computer took the report. It is tried again for a while: a phone may lose its network. */
async function post(token: string, report: Report, attempts: number): Promise<boolean> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (attempt > 0) await new Promise((done) => setTimeout(done, RETRY_MS));
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(`report/${token}`, { method: "POST", headers, body: JSON.stringify(report) }).catch(() => undefined);
    if (answer?.ok) return true;
    if (answer?.status === 403) return false;
  }
  return false;
}

function show(table: HTMLTableElement, report: Report): void {
  const rows: [string, string][] = [];
  if (report.build) {
    const { bundle, variant, steps } = report.build;
    rows.push(["model", `${bundle}, ${variant}, ${steps} steps`], ["engine", engineName(report.build)]);
  }
  if (report.first) rows.push(["first picture", seconds(report.first.ms)]);
  if (report.runs.length > 0) rows.push([`median of ${report.runs.length}`, seconds(median(report.runs.map((run) => run.ms)))]);
  const last = report.sustained.at(-1);
  if (last) rows.push([`after ${Math.round(last[0])} s`, seconds(last[1])]);
  table.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return row;
    }),
  );
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
