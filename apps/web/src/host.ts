/** The Android app around the page, which keeps and shares pictures where a WebView cannot. See `apps/fewstep_apps/android/webview`. */

interface Host {
  /** Both take a file name and base64, and return what went wrong, or "". */
  save(name: string, base64: string): string;
  share(name: string, base64: string): string;
}

export const host = (globalThis as { Host?: Host }).Host;

/** Does it, and throws what the app says. */
export async function hand(file: File, action: (name: string, base64: string) => string): Promise<void> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const problem = action(file.name, btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
  if (problem) throw new Error(problem);
}
