import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { rootCertificates } from "node:tls";
import { TLS_PROFILE } from "../../identity/tls-profile.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { http } from "../../resources/node-http.ts";
import { checkAccess, type KeyAccess, type Located } from "./key-access.ts";

export interface FetchTextOptions {
  readonly access: KeyAccess;
  readonly locate: (url: URL) => Promise<Located>;
  /** Trusted for stand-ins, and for nobody else. */
  readonly standInCaPem: () => string | null;
  /** Ends everything. */
  readonly signal: AbortSignal;
  /** The URL of the server that named this one. */
  readonly from?: URL;
}

export interface FetchedText {
  readonly text: string;
  /** Who answered in the end. */
  readonly url: URL;
}

/** A set of keys is a few kilobytes; providers with many tenants have some tens. */
const MAX_BYTES = 1024 * 1024;
const MAX_REDIRECTS = 3;
const MAX_ADDRESSES = 4;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * One document over HTTP or HTTPS. INVARIANT: the addresses that were checked are those that are dialled: a name is looked up
 * once for each hop, so that no second answer of its DNS can lead elsewhere.
 * @throws {BulwarkError} BW_JWKS_FORBIDDEN, BW_JWKS_UNRESOLVED, BW_JWKS_FETCH_FAILED.
 */
export async function fetchText(start: string, options: FetchTextOptions): Promise<FetchedText> {
  let { from } = options;
  let url = parseUrl(start);
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const located = await withSignal(options.locate(url), options.signal);
    checkAccess(options.access, url, located, from);
    const answer = await dialInTurn(url, located, options);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return { text: await readText(answer), url };
    const { location } = answer.headers;
    answer.destroy();
    if (!REDIRECTS.has(status) || location === undefined) throw failed(`the answer is ${status}`);
    const next = parseUrl(location, url);
    if (url.protocol === "https:" && next.protocol !== "https:")
      throw new BulwarkError("BW_JWKS_FORBIDDEN", "redirected from https to clear text");
    from = url;
    url = next;
  }
  throw failed(`more than ${MAX_REDIRECTS} redirects`);
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.canParse(text, base?.href) ? new URL(text, base) : undefined;
  const isHttp = url?.protocol === "https:" || url?.protocol === "http:";
  if (url === undefined || !isHttp || url.username !== "" || url.password !== "")
    throw new BulwarkError("BW_JWKS_FORBIDDEN", "not an http(s) URL without user and password");
  return url;
}

async function dialInTurn(url: URL, located: Located, options: FetchTextOptions): Promise<IncomingMessage> {
  let failure: unknown;
  for (const address of located.addresses.slice(0, MAX_ADDRESSES)) {
    try {
      return await get(url, address, located, options);
    } catch (error) {
      failure = error;
      if (options.signal.aborted) break;
    }
  }
  throw failed(options.signal.aborted ? "no whole answer in time" : reasonOf(failure));
}

function get(
  url: URL,
  address: string,
  located: Located,
  { signal, standInCaPem }: FetchTextOptions,
): Promise<IncomingMessage> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const standInCa = located.place === "stand-in" ? standInCaPem() : null;
  return new Promise((resolve, reject) => {
    const request = (url.protocol === "https:" ? requestHttps : http.request)({
      host: address,
      port: located.port,
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, accept: "application/json", "user-agent": "bulwark" },
      // One document now and then: a connection that is kept would outlive what its address was checked for.
      agent: false,
      signal,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(standInCa === null ? {} : { ca: [...rootCertificates, standInCa] }),
      ...TLS_PROFILE.outside,
    });
    request.once("response", resolve);
    // Stays for good: a server that resets after its answer must find a listener.
    request.on("error", reject);
    request.once("close", () => reject(failed("closed without an answer")));
    request.end();
  });
}

/** @throws {BulwarkError} BW_JWKS_FETCH_FAILED: too long, compressed, not UTF-8, or broken off. */
async function readText(answer: IncomingMessage): Promise<string> {
  answer.on("error", () => {});
  if ((answer.headers["content-encoding"] ?? "identity") !== "identity") {
    answer.destroy();
    throw failed("the answer is compressed, which was not asked for");
  }
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer) {
      length += (chunk as Buffer).length;
      if (length > MAX_BYTES) break;
      chunks.push(chunk as Buffer);
    }
  } catch {
    throw failed("no whole answer in time");
  }
  if (length > MAX_BYTES) throw failed(`the answer is longer than ${MAX_BYTES} bytes`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw failed("the answer is not UTF-8");
  }
}

/** A look-up cannot be called back; whoever waits for it can. */
function withSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(failed("no whole answer in time"));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}

/** Error codes of the system and of TLS; never what a server wrote. */
function reasonOf(error: unknown): string {
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  return typeof code === "string" ? code : "the server could not be asked";
}

function failed(why: string): BulwarkError {
  return new BulwarkError("BW_JWKS_FETCH_FAILED", why);
}
