/** Random meshes with waypoints, and what is asked of them; from small alphabets, so that they meet. */
import fc from "fast-check";
import type { RuleSpec } from "../../../src/policy/authorization-spec.ts";
import {
  ADDRESSES,
  type Question,
  type Target,
  WAYPOINT_ADDRESSES,
  type World,
  type WorldPolicy,
} from "../reference/reference-ambient.ts";

const PRINCIPALS = ["m/sa/c", "k/sa/c", "g/sa/g", "m/sa/wp", "w/sa/wp"].map(
  (own) => `cluster.local/ns/${own}`,
);
const NAMESPACES = ["m", "k", "g", "w"];
const BLOCKS = [...Object.values(ADDRESSES), ...Object.values(WAYPOINT_ADDRESSES)];
const PORTS = ["80", "8080", "9000"];

function some(values: readonly string[]): fc.Arbitrary<string[]> {
  return fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
}

function maybe(name: string, values: readonly string[]): fc.Arbitrary<Record<string, string[]>> {
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: some(values).map((list) => ({ [name]: list })) },
  );
}

function merged(
  ...parts: readonly fc.Arbitrary<Record<string, string[]>>[]
): fc.Arbitrary<Record<string, string[]>> {
  return fc.tuple(...parts).map((all) => Object.assign({}, ...all));
}

const isFilled = (own: object): boolean => Object.keys(own).length > 0;
const source = merged(
  maybe("principals", PRINCIPALS),
  maybe("notPrincipals", PRINCIPALS),
  maybe("namespaces", NAMESPACES),
  maybe("notNamespaces", NAMESPACES),
  maybe("ipBlocks", BLOCKS),
  maybe("notIpBlocks", BLOCKS),
).filter(isFilled);
const operation = merged(
  maybe("ports", PORTS),
  maybe("notPorts", PORTS),
  maybe("methods", ["GET", "POST"]),
  maybe("paths", ["/a", "/b", "/a*"]),
).filter(isFilled);

const rule: fc.Arbitrary<RuleSpec> = fc
  .tuple(fc.array(source, { maxLength: 2 }), fc.array(operation, { maxLength: 2 }))
  .map(([sources, operations]) => ({
    ...(sources.length === 0 ? {} : { from: sources.map((own) => ({ source: own })) }),
    ...(operations.length === 0 ? {} : { to: operations.map((own) => ({ operation: own })) }),
  }));

const target: fc.Arbitrary<Target> = fc.constantFrom<Target>(
  { kind: "Service", name: "s" },
  { kind: "Service", name: "s" },
  { kind: "Service", name: "s" },
  { kind: "Service", name: "o" },
  { kind: "ServiceEntry", name: "s" },
  { kind: "Gateway", name: "wp" },
  { kind: "Gateway", name: "other" },
  { kind: "GatewayClass", name: "istio-waypoint" },
);

const policy = fc.record({
  namespace: fc.constantFrom("m", "m", "m", "w", "istio-system"),
  holds: fc.oneof(
    fc.constant("everywhere" as const),
    fc.constant("selector" as const),
    target,
    target,
    target,
  ),
  action: fc.constantFrom("ALLOW" as const, "DENY" as const),
  rules: fc.array(rule, { minLength: 1, maxLength: 2 }),
  dryRun: fc.constantFrom(false, false, false, true),
});

const policies: fc.Arbitrary<readonly WorldPolicy[]> = fc
  .array(policy, { minLength: 1, maxLength: 5 })
  .map((all) =>
    all.map(({ namespace, holds, action, rules, dryRun }, index) => ({
      namespace,
      name: `p${index}`,
      holds,
      dryRun,
      spec: { action, rules },
    })),
  );

const use = fc.constantFrom<Record<string, string>>(
  {},
  {},
  { "istio.io/use-waypoint": "none" },
  { "istio.io/use-waypoint": "wp" },
  { "istio.io/use-waypoint": "wp", "istio.io/use-waypoint-namespace": "w" },
  { "istio.io/use-waypoint": "gone" },
);
const ingress = fc.constantFrom<Record<string, string>>(
  {},
  { "istio.io/ingress-use-waypoint": "true" },
  { "istio.io/ingress-use-waypoint": "false" },
);
const labels = fc.tuple(use, ingress).map(([a, b]) => ({ ...a, ...b }));
const waypoint = fc.record({
  traffic: fc.constantFrom(
    "service" as const,
    "workload" as const,
    "all" as const,
    "all" as const,
    "none" as const,
    undefined,
  ),
  from: fc.constantFrom(
    "Same" as const,
    "All" as const,
    "All" as const,
    "m" as const,
    "other" as const,
    undefined,
  ),
});

export const arbitraryWorld: fc.Arbitrary<World> = fc.record({
  namespaceLabels: fc.oneof(
    labels,
    fc.constant({ "istio.io/use-waypoint": "wp", "istio.io/ingress-use-waypoint": "true" }),
  ),
  serviceLabels: fc.oneof(fc.constant({}), labels),
  podLabels: use,
  waypoints: fc.record({ m: waypoint, w: waypoint }),
  policies,
  strictTransport: fc.boolean(),
});

export const arbitraryQuestion: fc.Arbitrary<Question> = fc
  .record({
    client: fc.constantFrom(
      "ambient" as const,
      "ambient" as const,
      "ambient" as const,
      "gateway" as const,
      "sidecar" as const,
      "plain" as const,
    ),
    to: fc.constantFrom("service" as const, "service" as const, "pod" as const),
    port: fc.constantFrom(80 as const, 80 as const, 9000 as const),
    protocol: fc.constantFrom("http" as const, "http" as const, "tcp" as const),
    method: fc.constantFrom("GET", "POST"),
    path: fc.constantFrom("/a", "/b", "/ab"),
  })
  // A gateway is asked about services, and a sidecar's client about what its listener takes.
  .filter(({ client, to, port, protocol }) => {
    if (client === "gateway") return to === "service" && (port === 9000 || protocol === "http");
    return client !== "sidecar" || (to === "service" && (port === 9000 || protocol === "http"));
  });
