/** The PEM form of a DER structure (RFC 7468), ending in a newline. */
export function encodePem(label: string, der: Buffer): string {
  const base64 = der.toString("base64").replace(/.{64}(?!$)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
}

const MAX_PEM_CHARS = 1 << 20;

/** Every block with this label, in order. Text between blocks is skipped; more than 1 MiB gives none. */
export function decodePem(label: string, text: string): Buffer[] {
  const blocks: Buffer[] = [];
  if (text.length > MAX_PEM_CHARS) return blocks;
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  for (let from = text.indexOf(begin); from >= 0; ) {
    const to = text.indexOf(end, from);
    if (to < 0) break;
    blocks.push(Buffer.from(text.slice(from + begin.length, to), "base64"));
    from = text.indexOf(begin, to);
  }
  return blocks;
}
