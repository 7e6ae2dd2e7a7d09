import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { WorkloadCall } from "../control/workload-call.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { StateOptions } from "./options.ts";

export interface CallOptions extends StateOptions {
  readonly format: string;
  readonly method?: string;
  readonly header?: readonly string[];
  readonly data?: string;
  readonly sni?: string;
  readonly http2?: boolean;
  readonly timeout: number;
  readonly replica: number;
  readonly include?: boolean;
  readonly insecure?: boolean;
  readonly cacert?: string;
}

const SCHEMES: ReadonlySet<string> = new Set(["http:", "https:", "tcp:", "tls:"]);
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What no field value holds (RFC 9110 §5.5), and what has no byte of its own. */
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/;

/** @throws {BulwarkError} BW_CLI_INPUT, saying what is wrong and how it is written. */
export function parseCall(target: string, options: CallOptions): WorkloadCall {
  const body = options.data === undefined ? undefined : bodyOf(options.data);
  const method = options.method ?? (body === undefined ? "GET" : "POST");
  if (!TOKEN.test(method)) throw invalid(`\`${method}\` is no HTTP method`);
  if (isIP(options.sni ?? "") !== 0)
    throw invalid(
      `\`--sni ${options.sni}\` is an address: a server name is a host's name, or empty for none`,
    );
  return {
    url: parseTarget(target),
    method,
    headers: (options.header ?? []).map(parseHeader),
    ...(body === undefined ? {} : { body }),
    ...(options.sni === undefined ? {} : { serverName: options.sni }),
    http2: options.http2 === true,
    timeoutMs: options.timeout,
    insecure: options.insecure === true,
    ...(options.cacert === undefined ? {} : { caPem: readInput(options.cacert).toString("utf8") }),
  };
}

function parseTarget(target: string): URL {
  const url = URL.canParse(target) ? new URL(target) : undefined;
  if (url === undefined || !SCHEMES.has(url.protocol) || url.hostname === "")
    throw invalid(
      `\`${target}\` cannot be called: write http://HOST/PATH, https://HOST/PATH, tcp://HOST:PORT or tls://HOST:PORT`,
    );
  const needsPort = url.protocol === "tcp:" || url.protocol === "tls:";
  if (needsPort && url.port === "")
    throw invalid(`\`${target}\` names no port: write ${url.protocol}//${url.hostname}:PORT`);
  return url;
}

function parseHeader(line: string): readonly [string, string] {
  const at = line.indexOf(":");
  const name = line.slice(0, at);
  if (at <= 0 || !TOKEN.test(name)) throw invalid(`\`${line}\` is no header: write \`Name: value\``);
  const value = line.slice(at + 1).trim();
  if (UNSENDABLE.test(value))
    throw invalid(
      `the value of the header \`${name}\` has a line break, another control character or one beyond Latin-1: HTTP cannot carry it`,
    );
  return [name, value];
}

function bodyOf(data: string): Buffer {
  return data.startsWith("@") ? readInput(data.slice(1)) : Buffer.from(data, "utf8");
}

function readInput(path: string): Buffer {
  try {
    return readFileSync(path === "-" ? 0 : path);
  } catch (error) {
    throw invalid(`cannot read \`${path}\`: ${(error as NodeJS.ErrnoException).code ?? "unknown error"}`);
  }
}

function invalid(message: string): BulwarkError {
  return new BulwarkError("BW_CLI_INPUT", message);
}
