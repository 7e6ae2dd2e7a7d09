/** A request that a server lets in at a port, where there is one. */
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { SampleRequest } from "../../space/request-space.ts";
import type { AuditContext } from "../audit-context.ts";
import { probesOf } from "./probe-requests.ts";
import { accessRequestOf, isLetThrough, plainSample } from "./sample-requests.ts";
import type { ServerClass } from "./server-classes.ts";

/** In clear: the plainest request, bytes that are no HTTP, then requests that the rules of its ALLOW policies name. */
export function plaintextInto(
  audit: AuditContext,
  server: ServerClass,
  port: number,
): AccessRequest | undefined {
  const clear = { principal: null };
  const plain = { ...plainSample(port, null), protocol: "tcp" as const };
  return (
    requestInto(audit, server, port, clear) ??
    (isLetThrough(server, plain) ? accessRequestOf(plain, server) : undefined)
  );
}

/** HTTP. @param fixed what the request has, whatever the rules name */
export function requestInto(
  { mesh }: AuditContext,
  server: ServerClass,
  port: number,
  fixed: Partial<SampleRequest>,
): AccessRequest | undefined {
  const { trustDomain } = mesh.config;
  const tries = [null, `${trustDomain}/ns/${server.workload.namespace}/sa/default`].map((caller) =>
    plainSample(port, caller),
  );
  const issuer = server.inbound.jwt?.rules[0]?.issuer;
  for (const { rule } of server.inbound.http.allow?.rules ?? []) {
    const policyNamespace = rule.policy.slice(rule.policy.indexOf(" ") + 1).split("/")[0] ?? "";
    tries.push(...probesOf(rule, { trustDomain, port, policyNamespace, issuer }));
  }
  const found = tries
    .map((sample) => ({ ...sample, ...fixed }))
    .find((sample) => sample.port === port && isLetThrough(server, sample));
  return found && accessRequestOf(found, server);
}
