/** Registers the service worker; with it the page works offline, and with threads on servers that send no headers for them. */

const MARK = "fewstep-isolation-tried";
const PATIENCE_MS = 10_000;

/** Returns when the page is what it will be; it may load itself once more before that. */
export async function settle(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register("sw.js");
    if (globalThis.crossOriginIsolated || sessionStorage.getItem(MARK)) return;
    await Promise.race([navigator.serviceWorker.ready, new Promise((done) => setTimeout(done, PATIENCE_MS))]);
    if (!registration.active) return;
    sessionStorage.setItem(MARK, "1"); // where it does not help it is not tried again
    location.reload();
    await new Promise(() => undefined);
  } catch {
    // No service worker in private windows or with a certificate that is not trusted: one thread, and online only.
  }
}
