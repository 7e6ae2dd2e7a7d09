import assert from "node:assert/strict";
import { test } from "node:test";
import { BUILT_INS } from "../../src/analysis/verify/built-in-invariants.ts";
import { NETWORK_BUILT_INS } from "../../src/analysis/verify/network-invariants.ts";
import { type InvariantResult, verifyAccess } from "../../src/analysis/verify/verify-access.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { withFederation } from "../../src/model/mesh-config.ts";
import { loadTexts } from "../../src/resources/load.ts";

const namespace = (name: string, labels = "istio-injection: enabled"): string => `apiVersion: v1
kind: Namespace
metadata: {name: ${name}, labels: {${labels}}}
`;
const deployment = (where: string, name: string, more = "", annotations = ""): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${where}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}, annotations: {${annotations}}}
    spec: {serviceAccountName: ${name}, ${more} containers: [{name: c, image: registry.example/c:1, ports: [{containerPort: 8080}]}]}
`;
const policy = (where: string, name: string, spec: string): string => `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: ${where}}
spec: ${spec}
`;
const GATEWAY = deployment("edge", "egress", "", 'inject.istio.io/templates: "gateway"');
const BASE = [namespace("shop"), namespace("edge"), deployment("shop", "web"), GATEWAY];
const TO_GATEWAY =
  "to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: edge}}, podSelector: {matchLabels: {app: egress}}}]";

async function meshOf(...texts: readonly string[]): Promise<Mesh> {
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text: texts.join("---\n") }]);
  assert.deepEqual(rejected, []);
  return buildMesh(resources);
}

/** Witnesses are held to `can`. */
async function judged(name: string, mesh: Mesh): Promise<InvariantResult> {
  const own = NETWORK_BUILT_INS.find((one) => one.name === name) ?? assert.fail();
  const result = await own.judge(mesh, "istio");
  for (const { witness } of result.findings)
    if (witness !== undefined) {
      const [decision] = await can(mesh, [witness.request]);
      assert.equal(decision?.allowed, true, JSON.stringify(witness.request));
    }
  return result;
}

test("egress is proven to be the gateway's where policies let pods connect to it alone, and it alone is left out", async () => {
  const closed = policy("shop", "out", `{podSelector: {}, policyTypes: [Egress], egress: [{${TO_GATEWAY}}]}`);
  const { outcome, proven, findings } = await judged("egress-by-gateway", await meshOf(...BASE, closed));
  assert.deepEqual([outcome, proven, findings], ["proven", ["shop/web"], []]);
});

test("a way out past the gateway is a violation with a request that gets through, however narrow it is", async () => {
  const open = await judged("egress-by-gateway", await meshOf(...BASE));
  assert.equal(open.outcome, "violated");
  assert.match(open.findings[0]?.why ?? "", /All Connections to 0\.0\.0\.0-255\.255\.255\.255/);
  const hole = `{podSelector: {}, policyTypes: [Egress], egress: [{${TO_GATEWAY}}, {to: [{ipBlock: {cidr: 192.0.2.7/32}}], ports: [{port: 5432}]}]}`;
  const { outcome, findings } = await judged(
    "egress-by-gateway",
    await meshOf(...BASE, policy("shop", "out", hole)),
  );
  assert.equal(outcome, "violated");
  assert.deepEqual(findings[0]?.witness?.request, {
    from: { workload: "shop/web" },
    to: { host: "192.0.2.7", port: 5432, ip: "192.0.2.7" },
    protocol: "tcp",
  });
  const dns = hole.replace("{port: 5432}", "{port: 53, protocol: UDP}");
  const udp = await judged("egress-by-gateway", await meshOf(...BASE, policy("shop", "out", dns)));
  assert.deepEqual([udp.outcome, udp.findings[0]?.witness], ["violated", undefined]);
});

test("what a sidecar alone keeps in, and pods on their hosts' networks, are not proven", async () => {
  const registryOnly = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
`;
  const kept = await judged("egress-by-gateway", await meshOf(...BASE, registryOnly));
  assert.equal(kept.outcome, "unclear");
  assert.match(kept.findings[0]?.why ?? "", /its own proxy alone refuses it/);
  const closed = policy("shop", "out", "{podSelector: {}, policyTypes: [Egress]}");
  const host = deployment("shop", "agent", "hostNetwork: true,");
  const agent = await judged("egress-by-gateway", await meshOf(...BASE, host, closed));
  assert.deepEqual([agent.outcome, agent.proven], ["unclear", ["shop/web"]]);
});

const ISTIOD = [
  namespace("istio-system", "a: b"),
  deployment("istio-system", "istiod"),
  namespace("plain", "a: b"),
  deployment("plain", "tool"),
];
const XDS =
  "{from: [{namespaceSelector: {matchLabels: {istio-injection: enabled}}}], ports: [{port: 15012}]}";
const OWN = "{from: [{podSelector: {}}]}";
const HOOKS = "{from: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 15017}]}";
const closing = (...rules: readonly string[]): string =>
  policy("istio-system", "in", `{podSelector: {}, policyTypes: [Ingress], ingress: [${rules.join(", ")}]}`);

test("the control plane is proven to be reached by proxies and the API server alone, or it is shown who else gets there", async () => {
  const of = async (...rules: readonly string[]) =>
    judged("control-plane", await meshOf(...BASE, ...ISTIOD, closing(...rules)));
  const { outcome, proven } = await of(OWN, XDS, HOOKS);
  assert.deepEqual([outcome, proven], ["proven", ["istio-system/istiod"]]);
  const holes: readonly (readonly [rule: string, from: unknown, port: number])[] = [
    ["{from: [{namespaceSelector: {}}], ports: [{port: 15012}]}", { workload: "plain/tool" }, 15_012],
    [XDS.replace("15012", "15010"), { workload: "shop/web" }, 15_010],
    [HOOKS.replace("15017", "15014"), { principal: null, ip: "0.0.0.0" }, 15_014],
  ];
  for (const [rule, from, port] of holes) {
    const { outcome: open, findings } = await of(OWN, XDS, HOOKS, rule);
    assert.equal(open, "violated", rule);
    assert.deepEqual(findings[0]?.witness?.request, {
      from,
      to: { workload: "istio-system/istiod", port },
      protocol: "tcp",
    });
  }
  assert.equal((await judged("control-plane", await meshOf(...BASE, ...ISTIOD))).outcome, "violated");
  const nobody = await judged("control-plane", await meshOf(...BASE));
  assert.deepEqual([nobody.outcome, nobody.findings[0]?.workloads], ["unclear", []]);
});

test("every other built-in invariant can fail and can be proven", async () => {
  const sensitive = namespace("shop", "istio-injection: enabled, bulwark.dev/sensitive: 'true'");
  const strict = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`;
  const own = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: own, namespace: shop}
spec: {rules: [{from: [{source: {namespaces: [shop]}}]}]}
`;
  const base = [sensitive, deployment("shop", "web")];
  const open = await meshOf(...base);
  const closed = await meshOf(...base, strict, own);
  const federated: Mesh = { ...open, config: withFederation(open.config, ["partner.example"]) };
  for (const { name, invariants } of BUILT_INS) {
    const outcomes = async (mesh: Mesh) =>
      (await verifyAccess(mesh, invariants(mesh), { semantics: "strict" })).results.map(
        ({ outcome }) => outcome,
      );
    assert.deepEqual(await outcomes(closed), ["proven"], name);
    assert.deepEqual(await outcomes(federated), ["violated"], name);
  }
});
