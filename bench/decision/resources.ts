import type { WireResource } from "../../src/resources/wire.ts";
import type { BenchRule } from "./workload.ts";

/** The rules as Istio's resources, beside the one workload that they are on. */
export function resourcesOf(rules: readonly BenchRule[]): WireResource[] {
  const policies = Map.groupBy(rules, ({ policy }) => policy);
  return [
    wire({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "orders", namespace: "shop", labels: { app: "orders" } },
      spec: { serviceAccountName: "orders" },
      status: { podIP: "10.20.0.5" },
    }),
    ...[...policies].map(([name, own]) =>
      wire({
        apiVersion: "security.istio.io/v1",
        kind: "AuthorizationPolicy",
        metadata: { name, namespace: "shop" },
        spec: {
          selector: { matchLabels: { app: "orders" } },
          action: own[0]?.action,
          rules: own.toSorted((a, b) => a.index - b.index).map(ruleOf),
        },
      }),
    ),
  ];
}

function wire(body: Record<string, unknown>): WireResource {
  return { body, file: "bench", createdAt: 0 };
}

function ruleOf({ principals, methods, paths, role, group }: BenchRule): object {
  const when = [
    ...(role === undefined ? [] : [{ key: "request.headers[x-role]", values: [role] }]),
    ...(group === undefined ? [] : [{ key: "request.auth.claims[group]", values: [group] }]),
  ];
  return {
    from: [{ source: { principals } }],
    to: [{ operation: { methods, paths } }],
    ...(when.length === 0 ? {} : { when }),
  };
}
