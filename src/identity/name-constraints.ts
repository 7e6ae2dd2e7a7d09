import type { CertificateFields, SubjectAltNames } from "./certificate-der.ts";
import { contextTag, DerReader, TAG } from "./der-reader.ts";

/** id-ce-nameConstraints, as DerReader.oid() gives it. */
export const NAME_CONSTRAINTS = "551d1e";

const DNS_NAME = 0x82;
const URI = 0x86;

interface Subtree {
  /** Of a GeneralName. */
  readonly tag: number;
  readonly base: string;
}

/**
 * Whether a CA may not have signed for these URI and DNS names. Constraints on other kinds of names say nothing of them.
 * @throws {DerError} for an extension that cannot be read.
 * @see RFC 5280 §4.2.1.10
 */
export function breaksNameConstraints(ca: CertificateFields, { uris, dnsNames }: SubjectAltNames): boolean {
  const extension = ca.extensions.get(NAME_CONSTRAINTS);
  if (extension === undefined) return false;
  const file = new DerReader(extension.value);
  const both = file.within(TAG.sequence);
  file.finish();
  const permitted = !both.done && both.nextTag === contextTag(0) ? subtrees(both.within(contextTag(0))) : [];
  const excluded = !both.done && both.nextTag === contextTag(1) ? subtrees(both.within(contextTag(1))) : [];
  both.finish();
  const breaks = (tag: number, name: string, matches: (name: string, base: string) => boolean): boolean => {
    const ofKind = permitted.filter((subtree) => subtree.tag === tag);
    if (excluded.some((subtree) => subtree.tag === tag && matches(name, subtree.base))) return true;
    return ofKind.length > 0 && !ofKind.some(({ base }) => matches(name, base));
  };
  return (
    uris.some((uri) => breaks(URI, uri, isWithinHost)) ||
    dnsNames.some((name) => breaks(DNS_NAME, name, isWithinDomain))
  );
}

/** GeneralSubtrees; `minimum` and `maximum`, which RFC 5280 forbids, refuse the certificate. */
function subtrees(list: DerReader): readonly Subtree[] {
  const found: Subtree[] = [];
  while (!list.done) {
    const subtree = list.within(TAG.sequence);
    const tag = subtree.nextTag;
    const isText = tag === DNS_NAME || tag === URI;
    const base = isText ? subtree.content(tag).toString("latin1").toLowerCase() : "";
    if (!isText) subtree.element();
    subtree.finish();
    found.push({ tag, base });
  }
  return found;
}

/** A host stands for itself; one that begins with a dot for everything below it. */
function isWithinHost(uri: string, base: string): boolean {
  const host = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:]*)/i.exec(uri)?.[1]?.toLowerCase() ?? "";
  return base.startsWith(".") ? host.endsWith(base) && host.length > base.length : host === base;
}

/** A domain stands for itself and everything below it; the empty one for all. */
function isWithinDomain(name: string, base: string): boolean {
  const folded = name.toLowerCase();
  const domain = base.replace(/^\./, "");
  return domain === "" || folded === domain || folded.endsWith(`.${domain}`);
}
