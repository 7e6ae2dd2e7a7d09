/** The original client's address of an HTTP request, as Envoy derives it from X-Forwarded-For. */
import type { Connection } from "./connection.ts";
import type { FlatHeaders } from "./http-request.ts";
import { type IpAddress, parseIpAddress } from "./ip-address.ts";
import { joinedField } from "./joined-field.ts";

/**
 * How far X-Forwarded-For is believed. Sidecars take its last entry. Gateways take the peer itself at 0 trusted proxies, else
 * the entry that the outermost trusted proxy wrote.
 */
export type ForwardedForTrust = { readonly entryFromRight: number } | null;

const HEADER = "x-forwarded-for";

/**
 * Memory of the last header seen: proxies send the same one again and again, and parsing anew would allocate.
 * INVARIANT: the address is a function of the two strings alone.
 */
let lastHeader = "";
let lastEntry = -1;
let lastAddress: IpAddress | null = null;

/** `remote.ip`: an entry that is missing or no address leaves the peer. */
export function remoteAddressOf(
  connection: Connection,
  headers: FlatHeaders,
  trust: ForwardedForTrust,
): IpAddress | null {
  if (trust === null) return connection.remoteAddress;
  const header = joinedField(headers, HEADER);
  if (header === null) return connection.remoteAddress;
  if (header !== lastHeader || trust.entryFromRight !== lastEntry) {
    lastAddress = entryAddress(header, trust.entryFromRight);
    lastHeader = header;
    lastEntry = trust.entryFromRight;
  }
  return lastAddress ?? connection.remoteAddress;
}

function entryAddress(header: string, entryFromRight: number): IpAddress | null {
  let rest = header;
  for (let skipped = 0; skipped < entryFromRight; skipped++) {
    const comma = rest.lastIndexOf(",");
    if (comma < 0) return null;
    rest = rest.slice(0, comma);
  }
  return parseIpAddress(rest.slice(rest.lastIndexOf(",") + 1).trim()) ?? null;
}
