/**
 * The service worker: keeps the app's own files for use without a network, and gives every page the two headers that
 * threads ask for, whatever the server sends. Model files are kept by `store.ts`.
 */

const VERSION = "__VERSION__"; // a digest of the package, put in by `fewstep package`
const SHELL = `fewstep-shell-${VERSION}`;

// The types of a worker and those of a page cannot be had together.
interface ExtendedEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface RequestEvent extends ExtendedEvent {
  request: Request;
  respondWith(response: Promise<Response>): void;
}
const scope = self as unknown as {
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
  registration: { scope: string };
  addEventListener(kind: "install" | "activate", listener: (event: ExtendedEvent) => void): void;
  addEventListener(kind: "fetch", listener: (event: RequestEvent) => void): void;
};

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const ours = url.href.startsWith(scope.registration.scope);
  const dynamic = /^\/(?:report|job)\//.test(url.pathname); // of `fewstep bench --device web`
  if (ours && event.request.method === "GET" && !dynamic) event.respondWith(answer(event.request));
});

async function install(): Promise<void> {
  const { shell } = (await (await fetch("app.json", { cache: "no-cache" })).json()) as { shell: string[] };
  await (await caches.open(SHELL)).addAll(shell.map((path) => new Request(path, { cache: "no-cache" })));
  await scope.skipWaiting();
}

async function activate(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith("fewstep-shell-") && name !== SHELL);
  await Promise.all(old.map((name) => caches.delete(name)));
  await scope.clients.claim();
}

async function answer(request: Request): Promise<Response> {
  const kept = await (await caches.open(SHELL)).match(request, { ignoreSearch: true });
  return isolated(kept ?? (await fetch(request)));
}

function isolated(response: Response): Response {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

export {};
