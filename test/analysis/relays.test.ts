import assert from "node:assert/strict";
import { test } from "node:test";
import { BUILT_INS } from "../../src/analysis/verify/built-in-invariants.ts";
import type { Invariant } from "../../src/analysis/verify/invariant.ts";
import { type InvariantResult, verifyAccess } from "../../src/analysis/verify/verify-access.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";

type Json = Readonly<Record<string, unknown>>;

function made(
  apiVersion: string,
  kind: string,
  namespace: string,
  name: string,
  spec: Json,
  labels: Json = {},
): Resource {
  const metadata = { name, labels, ...(namespace === "" ? {} : { namespace }) };
  return resourceFromJson({ apiVersion, kind, metadata, spec }, { file: "x", createdAt: 0 });
}

function deployment(namespace: string, name: string, labels: Json = {}): Resource {
  const own = { app: name, ...labels };
  const spec = { serviceAccountName: name, containers: [{ name: "c" }] };
  const template = { metadata: { labels: own }, spec };
  return made("apps/v1", "Deployment", namespace, name, { selector: { matchLabels: own }, template });
}

const SECURITY = "security.istio.io/v1";
const NETWORKING = "networking.istio.io/v1";

function vault(mode: Json, serviceLabels: Json = {}): Resource[] {
  const ports = [{ name: "http", port: 80 }];
  const spec = { clusterIP: "10.0.0.9", selector: { app: "safe" }, ports };
  return [
    made("v1", "Namespace", "", "vault", {}, { ...mode, "bulwark.dev/sensitive": "true" }),
    deployment("vault", "safe"),
    made("v1", "Service", "vault", "safe", spec, serviceLabels),
    made(SECURITY, "PeerAuthentication", "vault", "default", { mtls: { mode: "STRICT" } }),
    made(SECURITY, "AuthorizationPolicy", "vault", "own", {
      rules: [{ from: [{ source: { namespaces: ["vault"] } }] }],
    }),
  ];
}

const SIDECAR = { "istio-injection": "enabled" };
const GATEWAY = [
  deployment("vault", "in", { istio: "in" }),
  made(NETWORKING, "Gateway", "vault", "in", {
    selector: { istio: "in" },
    servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
  }),
];
const ROUTE = made(NETWORKING, "VirtualService", "vault", "in", {
  hosts: ["*"],
  gateways: ["in"],
  http: [{ route: [{ destination: { host: "safe" } }] }],
});
const WAYPOINT = [
  deployment("vault", "wp", {
    "gateway.networking.k8s.io/gateway-name": "wp",
    "gateway.istio.io/managed": "istio.io-mesh-controller",
  }),
  made("gateway.networking.k8s.io/v1", "Gateway", "vault", "wp", {
    gatewayClassName: "istio-waypoint",
    listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }],
  }),
];

function invariant(claim: Invariant["claim"], source: Json): Invariant {
  const selects: Invariant["selects"] = ({ key }) => key === "vault/safe";
  const rules = [{ from: [{ source }] }] as Invariant["rules"];
  return { name: "it", claim, rules, namespace: "vault", selects };
}

async function judge(resources: readonly Resource[], own?: Invariant): Promise<InvariantResult> {
  const mesh = buildMesh(resources);
  const sensitive = BUILT_INS.find(({ name }) => name === "sensitive")?.invariants(mesh) ?? [];
  const { results } = await verifyAccess(mesh, own === undefined ? sensitive : [own], { semantics: "istio" });
  return results[0] ?? assert.fail();
}

test("a sensitive namespace is not proven closed where a gateway within it leads outsiders in, and is without the route", async () => {
  assert.equal((await judge([...vault(SIDECAR), ...GATEWAY])).outcome, "proven");
  const { outcome, findings, proven } = await judge([...vault(SIDECAR), ...GATEWAY, ROUTE]);
  assert.deepEqual([outcome, proven], ["unclear", []]);
  assert.match(findings[0]?.why ?? "", /not analysed: who comes by gateway vault\/in,/);
});

test("a sensitive namespace is not proven closed where a waypoint within it stands before the workload", async () => {
  const ambient = { "istio.io/dataplane-mode": "ambient" };
  assert.equal((await judge([...vault(ambient), ...WAYPOINT])).outcome, "proven");
  const used = await judge([...vault(ambient, { "istio.io/use-waypoint": "wp" }), ...WAYPOINT]);
  assert.equal(used.outcome, "unclear");
  assert.match(used.findings[0]?.why ?? "", /not analysed: who comes by waypoint vault\/wp,/);
});

test("who names the gateway, asks for no sender, or has it refused, is given the proof", async () => {
  const mesh = [...vault(SIDECAR), ...GATEWAY, ROUTE];
  const gateway = "cluster.local/ns/vault/sa/in";
  const never = (source: Json) => judge(mesh, invariant("never", source));
  assert.equal((await never({ namespaces: ["elsewhere"] })).outcome, "unclear");
  assert.equal((await never({ notPrincipals: ["*"] })).outcome, "proven");
  const named = ["safe", "in"].map((name) => `cluster.local/ns/vault/sa/${name}`);
  const narrow = made(SECURITY, "AuthorizationPolicy", "vault", "own", {
    rules: [{ from: [{ source: { principals: named } }] }],
  });
  const only = invariant("only", { principals: named });
  assert.equal((await judge([...mesh, { ...narrow, name: "other" }], only)).outcome, "violated");
  const replaced = mesh.map((own) => (own.kind === "AuthorizationPolicy" ? narrow : own));
  assert.equal((await judge(replaced, only)).outcome, "proven");
  const shut = made(SECURITY, "AuthorizationPolicy", "vault", "shut", {
    action: "DENY",
    rules: [{ from: [{ source: { principals: [gateway] } }] }],
  });
  assert.equal((await judge([...mesh, shut])).outcome, "proven");
});

test("who leads outsiders in by pods that may be a gateway's is named; by pods that run as sidecars nobody does", async () => {
  const pods = (args: readonly string[]): Resource => {
    const own = { app: "in", istio: "in" };
    const containers = [{ name: "c", args, ports: [{ containerPort: 8080 }] }];
    const template = { metadata: { labels: own }, spec: { serviceAccountName: "in", containers } };
    return made("apps/v1", "Deployment", "vault", "in", { selector: { matchLabels: own }, template });
  };
  const with_ = (args: readonly string[], ...more: Resource[]) =>
    judge([...vault(SIDECAR), pods(args), ...GATEWAY.slice(1), ...more]);
  assert.equal((await with_([])).outcome, "proven");
  const { outcome, findings } = await with_([], ROUTE);
  assert.equal(outcome, "unclear");
  assert.match(
    findings[0]?.why ?? "",
    /not analysed: who comes by vault\/in \(perhaps a gateway: Gateway vault\/in selects it\),/,
  );
  assert.match(
    (await with_(["proxy", "router"], ROUTE)).findings[0]?.why ?? "",
    /comes by gateway vault\/in,/,
  );
  assert.equal((await with_(["proxy", "sidecar"], ROUTE)).outcome, "proven");
});

test("a gateway whose route leads to the workload by an ExternalName, or by a ServiceEntry's address, is named", async () => {
  const route = made(NETWORKING, "VirtualService", "vault", "in", {
    hosts: ["*"],
    gateways: ["in"],
    http: [
      { route: [{ destination: { host: "other.corp" } }] },
      { route: [{ destination: { host: "alias" } }] },
    ],
  });
  const alias = (to: string): Resource =>
    made("v1", "Service", "vault", "alias", {
      type: "ExternalName",
      externalName: to,
      ports: [{ port: 80 }],
    });
  const entry = (address: string): Resource =>
    made(NETWORKING, "ServiceEntry", "vault", "other", {
      hosts: ["other.corp"],
      resolution: "DNS",
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      endpoints: [{ address }],
    });
  const why = async (...more: Resource[]) =>
    (await judge([...vault(SIDECAR), ...GATEWAY, route, ...more])).findings[0]?.why ?? "proven";
  const safe = "safe.vault.svc.cluster.local";
  assert.match(await why(alias(safe)), /not analysed: who comes by gateway vault\/in, which/);
  assert.match(
    await why(entry(safe)),
    /gateway vault\/in \(by an address of ServiceEntry vault\/other\), which/,
  );
  assert.equal(await why(alias("db.corp"), entry("db.corp")), "proven");
});

test("by a ServiceEntry's address a gateway may come without an identity, too", async () => {
  const named = [{ from: [{ source: { principals: ["cluster.local/ns/vault/sa/in"] } }] }];
  const shut = made(SECURITY, "AuthorizationPolicy", "vault", "shut", { action: "DENY", rules: named });
  const open = made(SECURITY, "PeerAuthentication", "vault", "default", { mtls: { mode: "PERMISSIVE" } });
  const entry = made(NETWORKING, "ServiceEntry", "vault", "other", {
    hosts: ["other.corp"],
    resolution: "STATIC",
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    endpoints: [{ address: "10.0.0.9" }],
  });
  const route = (host: string): Resource =>
    made(NETWORKING, "VirtualService", "vault", "in", {
      hosts: ["*"],
      gateways: ["in"],
      http: [{ route: [{ destination: { host } }] }],
    });
  const mesh = vault(SIDECAR).filter(
    ({ kind }) => !["PeerAuthentication", "AuthorizationPolicy"].includes(kind),
  );
  const never = invariant("never", { namespaces: ["vault"], notPrincipals: ["cluster.local/ns/vault/*"] });
  const of = async (host: string) =>
    (await judge([...mesh, ...GATEWAY, shut, open, entry, route(host)], never)).outcome;
  assert.equal(await of("safe"), "proven");
  assert.equal(await of("other.corp"), "unclear");
});

test("an Ingress of Istio's class has the ingress gateway lead in, with its name; of another class it is none of Istio's", async () => {
  const backend = { service: { name: "safe", port: { number: 80 } } };
  const paths = [{ path: "/", pathType: "Prefix", backend }];
  const ingress = (spec: Json, annotations: Json = {}): Resource =>
    resourceFromJson(
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "Ingress",
        metadata: { name: "i", namespace: "vault", annotations },
        spec: { ...spec, rules: [{ http: { paths } }] },
      },
      { file: "x", createdAt: 0 },
    );
  const pods = deployment("vault", "in", { istio: "ingressgateway" });
  const why = async (...more: Resource[]) =>
    (await judge([...vault(SIDECAR), pods, ...more])).findings[0]?.why ?? "proven";
  const named = /not analysed: who comes by gateway vault\/in \(by Ingress vault\/i\), which/;
  const own = { "kubernetes.io/ingress.class": "istio" };
  const classed = (controller: string): Resource =>
    made("networking.k8s.io/v1", "IngressClass", "", "edge", { controller });
  assert.match(await why(ingress({ ingressClassName: "istio" })), named);
  assert.match(await why(ingress({}, own)), named);
  assert.match(
    await why(ingress({ ingressClassName: "edge" }), classed("istio.io/ingress-controller")),
    named,
  );
  assert.equal(await why(ingress({ ingressClassName: "edge" }), classed("k8s.io/ingress-nginx")), "proven");
  for (const other of [ingress({}), ingress({ ingressClassName: "nginx" })])
    assert.equal(await why(other), "proven");
  const config = (mesh: string): Resource =>
    resourceFromJson(
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "istio", namespace: "istio-system" },
        data: { mesh },
      },
      { file: "x", createdAt: 0 },
    );
  assert.match(await why(ingress({}), config("ingressControllerMode: DEFAULT")), named);
  assert.equal(await why(ingress({}, own), config("ingressControllerMode: 'OFF'")), "proven");
  const elsewhere = await why(ingress({}, own), config("ingressSelector: edge"));
  assert.match(elsewhere, /who comes by an ingress gateway \(by Ingress vault\/i\), which/);
});
