import { existsSync, readFileSync } from "node:fs";
import type { AccessDestination, AccessRequest, AccessSource, PairVerdict } from "../index.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";

export interface CanOptions {
  readonly mesh?: readonly string[];
  readonly requests?: string;
  readonly format: "text" | "json";
  readonly semantics: "istio" | "strict";
  readonly clientOnly?: boolean;
  readonly compareModes?: boolean;
  readonly explain?: boolean;
  readonly failOnRejected?: boolean;
  readonly from?: string;
  readonly principal?: string;
  readonly plaintext?: boolean;
  readonly ip?: string;
  readonly tls?: "simple" | "rogue";
  readonly to?: string;
  readonly via?: string;
  readonly method?: string;
  readonly header?: readonly string[];
  readonly host?: string;
  readonly sni?: string;
  readonly protocol?: "http" | "grpc" | "tcp" | "tls";
  readonly jwt?: string;
  readonly extAuthz?: "allow" | "deny";
  readonly allTo?: string;
  readonly allFrom?: string;
  readonly only?: readonly PairVerdict[];
  readonly namespace?: string;
}

type Protocol = NonNullable<AccessRequest["protocol"]>;

const DEFAULT_PORTS: Readonly<Record<string, number>> = { http: 80, grpc: 80, https: 443, tls: 443 };
const URL_TEXT = /^([a-z]+):\/\/([^/?#]+)(.*)$/i;
const WORKLOAD = /^[^/:]+\/[^/:]+$/;

/**
 * One request as a person types it: `[FROM] [METHOD] URL`, or with --to `[FROM] [METHOD] [PATH]`.
 * @throws {BulwarkError} BW_CLI_INPUT, saying how it is written.
 */
export function parseCan(words: readonly string[], options: CanOptions): AccessRequest {
  const lost = (["only", "namespace"] as const).find((name) => options[name] !== undefined);
  if (lost !== undefined) throw invalid(`--${lost} goes with --all-to or --all-from`);
  const rest = [...words];
  const from = options.from ?? (WORKLOAD.test(rest[0] ?? "") ? rest.shift() : undefined);
  const method = options.method ?? (/^[A-Z][A-Z-]*$/.test(rest[0] ?? "") ? rest.shift() : undefined);
  const target = rest.shift();
  if (rest.length > 0) throw invalid(`\`${rest.join(" ")}\` is too much: write FROM METHOD URL`);
  const asked = options.to === undefined ? parseUrl(target, options) : parseTo(options.to, target, options);
  const { jwt, header, extAuthz, via } = options;
  const headers = header?.map(parseHeader);
  const host = options.host ?? hostAmong(headers);
  return {
    from: sourceOf(from, asked.tls, options),
    ...asked.request,
    ...(via === undefined ? {} : { via }),
    ...(method === undefined ? {} : { method }),
    ...(host === undefined ? {} : { host }),
    ...(headers === undefined ? {} : { headers }),
    ...(jwt === undefined ? {} : { jwt: parseJwt(jwt) }),
    ...(extAuthz === undefined ? {} : { extAuthz }),
  };
}

/**
 * What stands besides `--requests FILE`: more of the mesh, since shells expand `--mesh istio/*.yaml` so.
 * @throws {BulwarkError} BW_CLI_INPUT for a word that is no path: who asks for what stands in the file.
 */
export function parseMeshWords(words: readonly string[]): readonly string[] {
  const lost = words.find((word) => !existsSync(word));
  if (lost === undefined) return words;
  throw invalid(
    `\`${lost}\` does not go with --requests, and is no file or folder of the mesh: who asks for what stands in the requests file`,
  );
}

interface Asked {
  readonly request: AccessRequest;
  /** The client's own TLS, which ends at a gateway (`https://` with --via). */
  readonly tls?: "simple";
}

/** Not by the URL class: paths are asked about as they are sent, dots and all. */
function parseUrl(text: string | undefined, { via, sni, protocol }: CanOptions): Asked {
  const [, scheme = "", authority = "", path = ""] = URL_TEXT.exec(text ?? "") ?? [];
  const kind = scheme.toLowerCase();
  if (text === undefined) throw invalid("name what is asked for: a URL, or --to NAMESPACE/NAME:PORT");
  if (!["http", "https", "grpc", "tcp", "tls"].includes(kind))
    throw invalid(
      `\`${text}\` cannot be asked for: write http://HOST/PATH, https://HOST, grpc://HOST/SERVICE/METHOD, tcp://HOST:PORT or tls://HOST:PORT`,
    );
  const [, name = "", port] = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(authority) ?? [];
  const number = port === undefined ? DEFAULT_PORTS[kind] : Number(port);
  if (name === "" || number === undefined)
    throw invalid(`\`${text}\` names no ${name === "" ? "host" : `port: write ${kind}://${name}:PORT`}`);
  const to: AccessDestination = { host: name, port: number };
  const serverName = sni ?? (isAddress(name) ? undefined : name);
  const named = serverName === undefined || serverName === "" ? {} : { sni: serverName };
  if (kind === "https" && via !== undefined)
    return { tls: "simple", request: { to, ...named, ...httpPart(path, authority) } };
  if (kind === "https" || kind === "tls") return { request: { to, protocol: "tls", ...named } };
  if (kind === "tcp") return { request: { to, protocol: "tcp" } };
  const http: Protocol = protocol === "grpc" || kind === "grpc" ? "grpc" : "http";
  return {
    request: { to, protocol: http, ...(sni === undefined ? {} : { sni }), ...httpPart(path, authority) },
  };
}

function httpPart(path: string, authority: string): Pick<AccessRequest, "path" | "host"> {
  return { path: path.startsWith("/") ? path : `/${path}`, host: authority };
}

function isAddress(name: string): boolean {
  return name.startsWith("[") || /^\d+(\.\d+){3}$/.test(name);
}

function parseTo(text: string, path: string | undefined, { sni, protocol }: CanOptions): Asked {
  const [, name = "", port = ""] = /^(.+):(\d+)$/.exec(text) ?? [];
  if (name === "") throw invalid(`\`--to ${text}\`: write NAMESPACE/NAME:PORT, or SERVICE:PORT`);
  const number = Number(port);
  const to: AccessDestination = WORKLOAD.test(name)
    ? { workload: name, port: number }
    : { service: name, port: number };
  const spoken: Protocol = protocol ?? (path === undefined && text !== "" ? "tcp" : "http");
  return {
    request: {
      to,
      protocol: spoken,
      ...(sni === undefined ? {} : { sni }),
      ...(path === undefined ? {} : { path }),
    },
  };
}

function sourceOf(
  workload: string | undefined,
  ownTls: "simple" | undefined,
  { principal, plaintext, ip, tls }: CanOptions,
): AccessSource {
  if (plaintext === true && principal !== undefined)
    throw invalid("--plaintext and --principal: without TLS there is no certificate");
  const identity = plaintext === true ? null : principal?.replace(/^spiffe:\/\//, "");
  const shown = tls ?? ownTls;
  return {
    ...(workload === undefined ? {} : { workload }),
    ...(identity === undefined ? {} : { principal: identity }),
    ...(ip === undefined ? {} : { ip }),
    ...(shown === undefined ? {} : { tls: shown }),
  };
}

/** As curl: -H "Host: …" takes the place of the URL's. */
export function hostAmong(headers: readonly (readonly [string, string])[] = []): string | undefined {
  return headers.find(([name]) => name.toLowerCase() === "host")?.[1];
}

/** @throws {BulwarkError} BW_CLI_INPUT */
export function parseHeader(line: string): readonly [string, string] {
  const at = line.indexOf(":");
  if (at <= 0) throw invalid(`\`${line}\` is no header: write \`Name: value\``);
  return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}

/** A token, `@FILE` with one, or claims as JSON. @throws {BulwarkError} BW_CLI_INPUT */
export function parseJwt(text: string): NonNullable<AccessRequest["jwt"]> {
  const own = text.startsWith("@") ? readInput(text.slice(1)).trim() : text;
  if (!own.startsWith("{")) return own;
  try {
    const value = JSON.parse(own) as Readonly<Record<string, unknown>>;
    const { claims } = value;
    const wrapped = Object.keys(value).length === 1 && typeof claims === "object" && claims !== null;
    return { claims: wrapped ? (claims as Readonly<Record<string, unknown>>) : value };
  } catch {
    throw invalid('`--jwt` is neither a token nor claims: write claims as JSON, {"sub": "…"}');
  }
}

/** @param path `-`: standard input. @throws {BulwarkError} BW_CLI_INPUT */
export function readInput(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw invalid(`cannot read \`${path}\`: ${reason}`);
  }
}

function invalid(message: string): BulwarkError {
  return new BulwarkError("BW_CLI_INPUT", message);
}
