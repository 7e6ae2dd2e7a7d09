/** Random pairs of meshes as files: four servers beside each other, each with policies of its own that may change. */
import fc from "fast-check";
import type { RuleSpec } from "../../../src/policy/authorization-spec.ts";
import { loadTexts } from "../../../src/resources/load.ts";
import type { TokenSigner } from "../../../tools/differential/token-signer.ts";
import {
  type ArbitraryPolicy,
  arbitraryPolicies,
  arbitraryRule,
} from "../../policy/arbitrary-authorization.ts";

export const SERVERS: readonly string[] = ["one", "two", "three", "four"];
/** 8080 is declared HTTP, 9000 TCP, 7000 is to be detected, 9999 and 80 are not declared. */
export const SERVER_PORTS: readonly number[] = [8080, 9000, 7000, 9999, 80];

type PeerMode = "STRICT" | "PERMISSIVE";

export interface ServerSide {
  readonly policies: readonly ArbitraryPolicy[];
  readonly mode: PeerMode;
}

export interface LivePair {
  readonly before: readonly ServerSide[];
  readonly after: readonly ServerSide[];
  /** What `verify` is to prove, in the words of AuthorizationPolicy. */
  readonly invariants: readonly { readonly claim: "never" | "always" | "only"; readonly rule: RuleSpec }[];
}

const servers = fc.array(
  fc.record({
    policies: arbitraryPolicies,
    mode: fc.constantFrom("STRICT" as const, "PERMISSIVE" as const),
  }),
  { minLength: SERVERS.length, maxLength: SERVERS.length },
);

const arbitraryPair: fc.Arbitrary<LivePair> = fc.record({
  before: servers,
  after: servers,
  invariants: fc.array(
    fc.record({
      claim: fc.constantFrom("never" as const, "always" as const, "only" as const),
      rule: arbitraryRule,
    }),
    { minLength: 12, maxLength: 12 },
  ),
});

export function samplePairs(seed: number, count: number): readonly LivePair[] {
  return fc.sample(arbitraryPair, { seed, numRuns: count });
}

export function staticManifests(signer: TokenSigner): readonly object[] {
  const config = { trustDomain: "cluster.local", trustDomainAliases: ["old.domain"] };
  return [
    manifest("v1", "ConfigMap", "istio-system", "istio", { data: { mesh: JSON.stringify(config) } }),
    manifest("v1", "Namespace", "", "foo", {}),
    ...SERVERS.flatMap(serverManifests),
    manifest("security.istio.io/v1", "RequestAuthentication", "foo", "tokens", {
      spec: { jwtRules: ["iss", "https://a/b"].map((issuer) => ({ issuer, jwks: signer.keySet(issuer) })) },
    }),
  ];
}

function serverManifests(app: string): readonly object[] {
  const labels = { app };
  return [
    manifest("v1", "Pod", "foo", app, {
      metadata: { name: app, namespace: "foo", labels: { ...labels, "sidecar.istio.io/inject": "true" } },
      spec: {
        serviceAccountName: "httpbin",
        containers: [
          { name: "app", image: "app", ports: SERVER_PORTS.map((containerPort) => ({ containerPort })) },
        ],
      },
    }),
    manifest("v1", "Service", "foo", app, {
      spec: {
        selector: labels,
        ports: [
          { name: "http", port: 8000, targetPort: 8080 },
          { name: "tcp-raw", port: 9000 },
          { name: "auto", port: 7000 },
        ],
      },
    }),
  ];
}

/** The policies of one side, without the rules that Istio itself would not take. */
export async function sideManifests(side: readonly ServerSide[]): Promise<readonly object[]> {
  const written: object[] = [];
  for (const [index, { policies, mode }] of side.entries()) {
    const selector = { matchLabels: { app: SERVERS[index] } };
    written.push(
      manifest("security.istio.io/v1", "PeerAuthentication", "foo", `mode-${index}`, {
        spec: { selector, mtls: { mode } },
      }),
    );
    for (const { namespace, name, spec } of policies) {
      const rules: RuleSpec[] = [];
      for (const rule of spec.rules ?? []) if (await isTaken(rule)) rules.push(rule);
      if (rules.length > 0)
        written.push(policyOf(namespace, `${name}-${index}`, { selector, ...spec, rules }));
    }
  }
  return written;
}

/** Of the rules that are valid. */
export async function invariantManifests({ invariants }: LivePair): Promise<readonly object[]> {
  const written: object[] = [];
  for (const [index, { claim, rule }] of invariants.entries())
    if (await isTaken(rule))
      written.push(
        manifest("bulwark.dev/v1", "AccessInvariant", "foo", `invariant-${index}`, {
          spec: { selector: { matchLabels: { app: SERVERS[index % SERVERS.length] } }, [claim]: [rule] },
        }),
      );
  return written;
}

const known = new Map<string, boolean>();

async function isTaken(rule: RuleSpec): Promise<boolean> {
  const text = yamlOf([policyOf("foo", "rule", { rules: [rule] })]);
  const before = known.get(text);
  if (before !== undefined) return before;
  const taken = (await loadTexts([{ file: "rule.yaml", text }])).rejected.length === 0;
  known.set(text, taken);
  return taken;
}

function policyOf(namespace: string, name: string, spec: object): object {
  return manifest("security.istio.io/v1", "AuthorizationPolicy", namespace, name, { spec });
}

function manifest(apiVersion: string, kind: string, namespace: string, name: string, rest: object): object {
  return { apiVersion, kind, metadata: { name, ...(namespace === "" ? {} : { namespace }) }, ...rest };
}

/** JSON is YAML. */
export function yamlOf(manifests: readonly object[]): string {
  return manifests.map((own) => JSON.stringify(own)).join("\n---\n");
}
