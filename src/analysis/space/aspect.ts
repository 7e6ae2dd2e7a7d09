/** Which aspects of a request a field of AuthorizationPolicy looks at. */
import { isJoinedHeader } from "../../policy/operation-fields.ts";
import { AnalysisLimit } from "./analysis-limit.ts";

/**
 * `text`: present, one text. `field`: a text or none. `many`: any number of texts, a condition asking whether some match.
 * `token`: issuer and subject together.
 */
export type AspectKind = "identity" | "address" | "port" | "text" | "field" | "many" | "token";

export interface Aspect {
  readonly id: string;
  readonly kind: AspectKind;
  /** What people call it, in the plural. */
  readonly title: string;
}

export const IDENTITY: Aspect = { id: "identity", kind: "identity", title: "identities" };
const SUBJECT: Aspect = { id: "claim [sub]", kind: "field", title: "token subjects" };
const SOURCE_IP: Aspect = { id: "source.ip", kind: "address", title: "source addresses" };
const REMOTE_IP: Aspect = { id: "remote.ip", kind: "address", title: "client addresses" };
const DESTINATION_IP: Aspect = { id: "destination.ip", kind: "address", title: "destination addresses" };
const PORT: Aspect = { id: "port", kind: "port", title: "ports" };
const SNI: Aspect = { id: "sni", kind: "text", title: "server names" };
const TOKEN: Aspect = { id: "token", kind: "token", title: "token principals" };
export const METHOD: Aspect = { id: "method", kind: "text", title: "methods" };
export const HOST: Aspect = { id: "host", kind: "text", title: "hosts" };
export const PATH: Aspect = { id: "path", kind: "text", title: "paths" };

const FIELDS: ReadonlyMap<string, readonly Aspect[]> = new Map<string, readonly Aspect[]>([
  ["principals", [IDENTITY]],
  ["source.principal", [IDENTITY]],
  ["namespaces", [IDENTITY]],
  ["source.namespace", [IDENTITY]],
  ["serviceAccounts", [IDENTITY]],
  ["source.serviceAccount", [IDENTITY]],
  ["trustDomains", [IDENTITY]],
  ["source.trustDomain", [IDENTITY]],
  ["requestPrincipals", [TOKEN, SUBJECT]],
  ["request.auth.principal", [TOKEN, SUBJECT]],
  ["request.auth.audiences", [claim("[aud]")]],
  ["request.auth.presenter", [claim("[azp]")]],
  ["ipBlocks", [SOURCE_IP]],
  ["source.ip", [SOURCE_IP]],
  ["remoteIpBlocks", [REMOTE_IP]],
  ["remote.ip", [REMOTE_IP]],
  ["destination.ip", [DESTINATION_IP]],
  ["ports", [PORT]],
  ["destination.port", [PORT]],
  ["connection.sni", [SNI]],
  ["methods", [METHOD]],
  ["hosts", [HOST]],
  ["paths", [PATH]],
]);

/** @param path in brackets, as in conditions: `[a][b]`. */
export function claim(path: string): Aspect {
  return path === "[sub]" ? SUBJECT : { id: `claim ${path}`, kind: "many", title: `claims ${path}` };
}

/** Headers that proxies make, or that say in other words what another aspect says: what they hold is not theirs alone to say. */
const DEPENDENT = /^(:.*|host|connection|x-request-id|x-forwarded-(for|proto|client-cert)|x-envoy-.*)$/;

/** @throws {AnalysisLimit} for a field whose values hang together with other fields' in ways that are not followed. */
export function aspectsOf(field: string): readonly Aspect[] {
  const known = FIELDS.get(field);
  if (known !== undefined) return known;
  const header = /^request\.headers\[([^\]]+)\]$/.exec(field)?.[1]?.toLowerCase();
  if (header === ":method") return [METHOD];
  if (header !== undefined && !DEPENDENT.test(header)) {
    const kind = isJoinedHeader(header) ? "field" : "many";
    return [{ id: `header ${header}`, kind, title: `headers ${header}` }];
  }
  const path = /^request\.auth\.claims((?:\[[^[\]]*\])+)$/.exec(field)?.[1];
  if (path !== undefined && path !== "[iss]") return [claim(path)];
  throw new AnalysisLimit(`conditions on ${field} are not analysed`);
}
