/** Explanations of small policies, and the sentences that several tests expect. */
import { explainInbound } from "../../src/policy/explain.ts";
import type { Semantics } from "../../src/policy/inbound.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { authorization, connect, get, policyOf } from "./inbound-fixture.ts";

export const TCP = { destinationPort: 9000, alpn: ["istio"] };
export const DRY_RUN = { annotations: { "istio.io/dry-run": "true" } };
export const NONE_MATCHES = "denied: ALLOW policies apply to the workload and none of their rules matches";
export const nearest = (rule: number, policy = "AuthorizationPolicy foo/a"): string =>
  `the nearest rule that would have allowed it is rule ${rule} of ${policy}`;

export const from = (source: object) => ({ from: [{ source }] });
export const to = (operation: object) => ({ to: [{ operation }] });
export const allow = (...rules: readonly object[]): Resource => authorization("a", { rules });
export const deny = (...rules: readonly object[]): Resource => authorization("d", { action: "DENY", rules });

/** @param request null: about the connection. */
export function explained(
  resources: readonly Resource[],
  connection = connect(),
  request: ReturnType<typeof get> | null = get("/"),
  semantics: Semantics = "istio",
): readonly string[] {
  return explainInbound(policyOf(resources, semantics), connection, request ?? undefined);
}
