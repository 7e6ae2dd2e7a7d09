/** What is wrong with a Secret that a gateway is to serve with. */
import type { Resource } from "../../../resources/resource.ts";
import type { AuditSettings } from "../audit-context.ts";
import { fieldsOf, textOf } from "./written.ts";

/** @returns undefined where it can be served with */
export function credentialProblem(
  secret: Resource,
  { now, readCertificate }: AuditSettings,
): string | undefined {
  if (readCertificate === undefined)
    throw new Error("BUG: an audit of certificates without a reader of certificates");
  const data = secretData(secret);
  const pair = PAIRS.find(
    ([certificate, key]) => (data.get(certificate) ?? "") !== "" && (data.get(key) ?? "") !== "",
  );
  if (pair === undefined) return "has no certificate with its key";
  const certificate = readCertificate(data.get(pair[0]) ?? "");
  if (certificate === undefined) return `holds no certificate in \`${pair[0]}\``;
  if (now > certificate.notAfter) return `ended on ${day(certificate.notAfter)}`;
  return now < certificate.notBefore ? `is not valid before ${day(certificate.notBefore)}` : undefined;
}

const PAIRS = [
  ["cert", "key"],
  ["tls.crt", "tls.key"],
] as const;

/** `data` is base64, `stringData` is not, and wins. */
export function secretData({ body }: Resource): ReadonlyMap<string, string> {
  const data = Object.entries(fieldsOf(body.data)).map(
    ([key, value]) => [key, decoded(textOf(value))] as const,
  );
  const plain = Object.entries(fieldsOf(body.stringData)).map(
    ([key, value]) => [key, textOf(value)] as const,
  );
  return new Map([...data, ...plain]);
}

function decoded(base64: string): string {
  try {
    return atob(base64.replace(/\s/g, ""));
  } catch {
    return "";
  }
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
