/** A request in clear that a server lets in at a port, where there is one. */
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { AuditContext } from "../audit-context.ts";
import { probesOf } from "./probe-requests.ts";
import { accessRequestOf, isLetThrough, plainSample } from "./sample-requests.ts";
import type { ServerClass } from "./server-classes.ts";

/** The plainest request, bytes that are no HTTP, then requests that the rules of its ALLOW policies name. */
export function plaintextInto(
  { mesh }: AuditContext,
  server: ServerClass,
  port: number,
): AccessRequest | undefined {
  const plain = plainSample(port, null);
  const tries = [plain, { ...plain, protocol: "tcp" as const }];
  for (const { rule } of server.inbound.http.allow?.rules ?? []) {
    const policyNamespace = rule.policy.slice(rule.policy.indexOf(" ") + 1).split("/")[0] ?? "";
    for (const probe of probesOf(rule, { trustDomain: mesh.config.trustDomain, port, policyNamespace }))
      tries.push({ ...probe, principal: null });
  }
  const found = tries.find((sample) => sample.port === port && isLetThrough(server, sample));
  return found && accessRequestOf(found, server);
}
