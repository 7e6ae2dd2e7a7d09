import { isToken, MAX_CONNECTION_MEMBERS, trimOws } from "../../policy/field-syntax.ts";
import { isProtectedField } from "../../policy/protected-fields.ts";
import type { FieldBlock } from "./http1-fields.ts";
import { type Http1Refusal, refuse } from "./http1-refusal.ts";

/** Members that this hop handles itself, or that parsing has taken out already. */
const HANDLED = new Set([
  "close",
  "keep-alive",
  "upgrade",
  "connection",
  "te",
  "http2-settings",
  "proxy-connection",
  "transfer-encoding",
]);

/** What the Connection header says about this hop. */
export interface ConnectionOptions {
  readonly close: boolean;
  readonly keepAlive: boolean;
  readonly upgrade: boolean;
}

const NONE: ConnectionOptions = Object.freeze({ close: false, keepAlive: false, upgrade: false });
const CLOSE: ConnectionOptions = Object.freeze({ close: true, keepAlive: false, upgrade: false });
const KEEP_ALIVE: ConnectionOptions = Object.freeze({ close: false, keepAlive: true, upgrade: false });

/**
 * Reads the Connection header and takes the headers that it nominates out of the block, so that policy judges what the
 * next hop will see. A nomination of a header that tells who a request is from is refused, as Envoy does for x-forwarded-*.
 * @see RFC 9110 §7.6.1
 */
export function readConnection(block: FieldBlock): ConnectionOptions | Http1Refusal {
  const value = block.connection;
  if (value === undefined) return NONE;
  if (value === "keep-alive" || value === "Keep-Alive") return KEEP_ALIVE;
  if (value === "close") return CLOSE;
  return readMembers(block, value);
}

function readMembers(block: FieldBlock, value: string): ConnectionOptions | Http1Refusal {
  const members = value.toLowerCase().split(",", MAX_CONNECTION_MEMBERS + 1);
  if (members.length > MAX_CONNECTION_MEMBERS) return refuse("connection-invalid");
  const options = { close: false, keepAlive: false, upgrade: false };
  const nominated = new Set<string>();
  for (const padded of members) {
    const member = trimOws(padded);
    if (member === "") continue;
    if (!isToken(member)) return refuse("connection-invalid");
    if (member === "close") options.close = true;
    else if (member === "keep-alive") options.keepAlive = true;
    else if (member === "upgrade") options.upgrade = true;
    else if (isProtectedField(member)) return refuse("connection-nominates-protected");
    else if (!HANDLED.has(member)) nominated.add(member);
  }
  if (nominated.size > 0) dropFields(block, nominated);
  return options;
}

/** Takes headers out of the block by lower-case name. */
export function dropFields(block: FieldBlock, names: ReadonlySet<string>): void {
  const { headers, lines } = block;
  let kept = 0;
  for (let i = 0; i < headers.length; i += 2) {
    if (names.has(headers[i] as string)) continue;
    headers[kept] = headers[i] as string;
    headers[kept + 1] = headers[i + 1] as string;
    lines[kept] = lines[i] as number;
    lines[kept + 1] = lines[i + 1] as number;
    kept += 2;
  }
  headers.length = kept;
  lines.length = kept;
}
