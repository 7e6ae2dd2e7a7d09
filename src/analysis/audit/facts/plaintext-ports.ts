/** Where callers without an identity get as far as authorization, and which conditions they meet. */
import type { SourceSpec } from "../../../policy/authorization-spec.ts";
import type { ServerClass } from "./server-classes.ts";

/** Of the ports that the workload declares, and the one given, those that take plaintext; the given one first. */
export function openPorts(server: ServerClass, first: number): readonly number[] {
  const { workload } = server;
  const ports = [first, ...workload.ports.map(({ port }) => port)];
  if (!server.isAmbient) ports.push(...server.inbound.ports.keys());
  return [...new Set(ports)].filter((port) =>
    server.isAmbient
      ? !server.ambient.plaintext.some(({ refuses }) => refuses(port))
      : server.inbound.transport(port).mode !== "STRICT",
  );
}

const POSITIVE = ["principals", "namespaces", "serviceAccounts", "trustDomains"] as const;
const NEGATIVE = ["notPrincipals", "notNamespaces", "notServiceAccounts", "notTrustDomains"] as const;

/** Whether only a caller with a certificate can be meant. */
export function asksForIdentity(source: SourceSpec): boolean {
  return POSITIVE.some((field) => (source[field]?.length ?? 0) > 0);
}

/** Whether callers are named by what they are not alone; `notPrincipals: ["*"]` says by itself that they have no name. */
export function isNegativeOnly(source: SourceSpec): boolean {
  if (source.notPrincipals?.includes("*") === true) return false;
  return NEGATIVE.some((field) => (source[field]?.length ?? 0) > 0) && !asksForIdentity(source);
}

const IDENTITY_KEYS: ReadonlySet<string> = new Set([
  "source.principal",
  "source.namespace",
  "source.serviceAccount",
  "source.trustDomain",
]);

export function isIdentityKey(key: string): boolean {
  return IDENTITY_KEYS.has(key);
}
