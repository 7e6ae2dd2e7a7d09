/** Longest DNS name in text form, without the trailing dot (RFC 1035 §2.3.4, RFC 6066 §3). */
const MAX_NAME_BYTES = 253;
const MAX_LABEL_BYTES = 63;
const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;
const DOT = 0x2e;

/**
 * 0 = not a letter, digit, hyphen or underscore; else the byte in lower case. No host name has underscores (RFC 1123), but
 * the server names of Istio's own clusters do (`outbound_.80_._.payroll.finance.svc.cluster.local`), and so have DNS names in use.
 */
const LDH = new Uint8Array(256);
for (let c = 0x30; c <= 0x39; c++) LDH[c] = c;
for (let c = 0x61; c <= 0x7a; c++) {
  LDH[c] = c;
  LDH[c - 0x20] = c;
}
LDH[HYPHEN] = HYPHEN;
LDH[UNDERSCORE] = UNDERSCORE;

/**
 * Reads bytes [start, end) as a host name of letters, digits, hyphens and underscores, and returns it in lower case, or undefined.
 * Refused: empty or over-long labels and names, a hyphen at a label's edge, a trailing dot, and every name whose
 * last label is a number, since resolvers take such names (`127.1`, `0x7f000001`) for IPv4 addresses.
 * @see RFC 1123 §2.1, RFC 5890 §2.3.1, WHATWG URL "ends in a number"
 */
export function readDnsName(bytes: Buffer, start: number, end: number): string | undefined {
  if (end - start < 1 || end - start > MAX_NAME_BYTES) return undefined;
  let labelStart = start;
  for (let i = start; i <= end; i++) {
    if (i < end && bytes[i] !== DOT) continue;
    if (!isLabel(bytes, labelStart, i)) return undefined;
    if (i === end && isNumeric(bytes, labelStart, i)) return undefined;
    labelStart = i + 1;
  }
  return bytes.toString("latin1", start, end).toLowerCase();
}

/** {@link readDnsName} for a string; a character outside latin1 is refused, not truncated to a byte. */
export function parseDnsName(text: string): string | undefined {
  if (text.length > MAX_NAME_BYTES) return undefined;
  const bytes = Buffer.from(text, "utf8");
  return readDnsName(bytes, 0, bytes.length);
}

function isLabel(bytes: Buffer, start: number, end: number): boolean {
  if (end === start || end - start > MAX_LABEL_BYTES) return false;
  if (bytes[start] === HYPHEN || bytes[end - 1] === HYPHEN) return false;
  for (let i = start; i < end; i++) if (LDH[bytes[i] ?? 0] === 0) return false;
  return true;
}

function isNumeric(bytes: Buffer, start: number, end: number): boolean {
  const label = bytes.toString("latin1", start, end);
  return /^\d+$/.test(label) || /^0x[0-9a-f]*$/i.test(label);
}

/**
 * Reads a dotted quad of four decimal numbers without leading zeros, and returns it, or undefined.
 * The shorter, octal and hexadecimal forms of inet_aton are refused: two parsers disagree on them.
 */
export function parseIpv4(text: string): string | undefined {
  return /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/.test(text) ? text : undefined;
}
