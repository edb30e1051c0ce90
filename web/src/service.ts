/**
 * The service worker: keeps every file of the folder, so that the page opens without a network and asks for nothing.
 * The export writes `VERSION` and `FILES` before it; another version is another cache, and the old one goes.
 */

declare const VERSION: string;
declare const FILES: readonly string[];

interface Waiting extends Event {
  waitUntil(done: Promise<unknown>): void;
}
interface Asked extends Waiting {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(name: "install" | "activate", does: (event: Waiting) => void): void;
  addEventListener(name: "fetch", does: (event: Asked) => void): void;
}

const scope = self as unknown as Scope;
const own = `liveface ${scope.registration.scope} `;
const shelf = own + VERSION;

scope.addEventListener("install", (event) => {
  const keep = async (): Promise<void> => {
    const cache = await caches.open(shelf);
    await cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));
    await scope.skipWaiting();
  };
  event.waitUntil(keep());
});

scope.addEventListener("activate", (event) => {
  const tidy = async (): Promise<void> => {
    const old = (await caches.keys()).filter((one) => one.startsWith(own) && one !== shelf);
    await Promise.all(old.map((one) => caches.delete(one)));
    await scope.clients.claim();
  };
  event.waitUntil(tidy());
});

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  const answer = async (): Promise<Response> => {
    const cache = await caches.open(shelf);
    const { pathname } = new URL(request.url);
    const wanted = request.mode === "navigate" && pathname.endsWith("/") ? "index.html" : request;
    return (await cache.match(wanted, { ignoreSearch: true })) ?? fetch(request);
  };
  event.respondWith(answer());
});

export {};
