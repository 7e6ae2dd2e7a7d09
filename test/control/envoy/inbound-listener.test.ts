/** What the generated configuration of Envoy must say, whatever else it says; that Envoy decides by it as we do is test/real's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bootstrap } from "../../../src/control/envoy/bootstrap.ts";
import type { EnvoyObject } from "../../../src/control/envoy/envoy-object.ts";
import { inboundListener } from "../../../src/control/envoy/inbound-listener.ts";
import { findWorkload } from "../../../src/model/build-mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { authorization, meshConfig, meshOf, resource } from "../../policy/inbound-fixture.ts";

const OPTIONS = {
  name: "inbound",
  address: "10.20.0.5",
  ports: [8080, 9000, 7000],
  identity: { certificateChain: "chain.pem", privateKey: "key.pem", trustBundle: "roots.pem" },
};

interface Chain {
  readonly name: string;
  readonly filter_chain_match: {
    readonly destination_port?: number;
    readonly transport_protocol: string;
    readonly application_protocols?: readonly string[];
  };
  readonly filters: readonly { readonly name: string; readonly typed_config: EnvoyObject }[];
  readonly transport_socket?: unknown;
}

function caseOf(resources: readonly Resource[]) {
  const mesh = meshOf(...resources);
  const workload = findWorkload(mesh, "foo/httpbin");
  assert.ok(workload !== undefined);
  return { mesh, workload };
}

function listenerOf(...resources: readonly Resource[]): EnvoyObject {
  const { mesh, workload } = caseOf(resources);
  return inboundListener(mesh, workload, { ...OPTIONS, clusterOf: () => "application" });
}

function chainsOf(listener: EnvoyObject, port: number): Chain[] {
  const chains = listener.filter_chains as readonly Chain[];
  return chains.filter((chain) => chain.filter_chain_match.destination_port === port);
}

/** The one RBAC filter of a TCP chain, as text. */
function networkRbac(...resources: readonly Resource[]): string {
  const [chain] = chainsOf(listenerOf(...resources), 9000);
  const filters = chain?.filters.filter(({ name }) => name === "envoy.filters.network.rbac") ?? [];
  assert.equal(filters.length, 1);
  return JSON.stringify(filters);
}

const peer = (mode: string): Resource => resource("PeerAuthentication", "peer", { mtls: { mode } });

test("STRICT has no chain for plaintext and no chain without a client certificate", () => {
  const listener = listenerOf(peer("STRICT"));
  for (const chain of listener.filter_chains as readonly Chain[]) {
    assert.equal(chain.filter_chain_match.transport_protocol, "tls", chain.name);
    assert.match(JSON.stringify(chain.transport_socket), /"require_client_certificate":true/);
  }
});

test("PERMISSIVE tells the mesh's TLS from others' by ALPN, and has no chain for others' on an HTTP port", () => {
  const listener = listenerOf(peer("PERMISSIVE"));
  const tls = (port: number): readonly (readonly string[] | undefined)[] =>
    chainsOf(listener, port)
      .filter((chain) => chain.filter_chain_match.transport_protocol === "tls")
      .map((chain) => chain.filter_chain_match.application_protocols);
  assert.equal(tls(8080).length, 1);
  assert.ok(tls(8080)[0]?.includes("istio"));
  assert.deepEqual(tls(9000).filter((names) => names === undefined).length, 1);
});

test("DISABLE terminates no TLS and looks for none", () => {
  const listener = listenerOf(peer("DISABLE"));
  const text = JSON.stringify(listener);
  assert.ok(!text.includes("transport_socket") && !text.includes("tls_inspector"));
});

test("client certificates must name the mesh's trust domain or an alias, whole", () => {
  const config = meshConfig("trustDomain: td.example\ntrustDomainAliases: [old.domain]\n");
  const text = JSON.stringify(listenerOf(config));
  for (const prefix of ["spiffe://td.example/", "spiffe://old.domain/"])
    assert.ok(text.includes(`{"san_type":"URI","matcher":{"prefix":"${prefix}"}}`), prefix);
  assert.ok(!text.includes("spiffe://cluster.local/"));
});

test("on TCP an HTTP condition drops a rule of ALLOW, and only itself from a DENY", () => {
  const rules = [{ to: [{ operation: { ports: ["9000"], methods: ["GET"] } }] }];
  const allow = networkRbac(authorization("a", { rules }));
  assert.match(allow, /"action":"ALLOW","policies":\{\}/);
  const deny = networkRbac(authorization("d", { action: "DENY", rules }));
  assert.match(deny, /ns\[foo\]-policy\[d\]-rule\[0\]/);
  assert.ok(deny.includes('"destination_port":9000') && !deny.includes(":method"));
});

test("dry-run and AUDIT policies decide nothing", () => {
  const rules = [{}];
  const dry = networkRbac(
    authorization("d", { action: "DENY", rules }, { annotations: { "istio.io/dry-run": "true" } }),
  );
  assert.ok(dry.includes('"shadow_rules":') && !dry.includes('"rules":{"action"'));
  assert.match(networkRbac(authorization("a", { action: "AUDIT", rules })), /"rules":\{"action":"LOG"/);
});

test("an ALLOW policy without rules allows nobody", () => {
  const text = networkRbac(authorization("nothing", {}));
  assert.ok(
    text.includes('{"permissions":[{"not_rule":{"any":true}}],"principals":[{"not_id":{"any":true}}]}'),
  );
});

test("tokens are verified before authorization, and a rule whose keys cannot be had accepts none", () => {
  const tokens = resource("RequestAuthentication", "t", {
    jwtRules: [{ issuer: "iss", jwksUri: "https://example.com/keys" }],
  });
  const listener = listenerOf(tokens, authorization("a", { rules: [{}] }));
  const [chain] = chainsOf(listener, 8080);
  const filters = chain?.filters[0]?.typed_config.http_filters as readonly { readonly name: string }[];
  assert.deepEqual(
    filters.map(({ name }) => name.split(".").at(-1)),
    ["jwt_authn", "rbac", "router"],
  );
  assert.match(JSON.stringify(filters[0]), /"local_jwks":\{"inline_string":"\{\\"keys\\":\[\{/);
});

test("bootstrap() names every cluster that its chains route to", () => {
  const { mesh, workload } = caseOf([]);
  const application = new Map(OPTIONS.ports.map((port) => [port, { host: "127.0.0.1", port: port + 1 }]));
  const made = bootstrap(mesh, workload, { ...OPTIONS, application });
  const text = JSON.stringify(made);
  const { clusters } = made.static_resources as { readonly clusters: readonly { readonly name: string }[] };
  const named = new Set(clusters.map(({ name }) => name));
  for (const [, cluster = ""] of text.matchAll(/"cluster":"([^"]+\|\||Inbound[^"]+)"/g))
    assert.ok(named.has(cluster), cluster);
});

const PROVIDERS = meshConfig(`
extensionProviders:
- name: grpc
  envoyExtAuthzGrpc: {service: httpbin.foo.svc.cluster.local, port: 80, timeout: 1s, failOpen: true}
- name: http
  envoyExtAuthzHttp: {service: foo/httpbin.foo.svc.cluster.local, port: 80, includeRequestHeadersInCheck: ["x-*"], headersToUpstreamOnAllow: [x-user]}
`);
const DRY_RUN = { annotations: { "istio.io/dry-run": "true" } };

function custom(name: string, provider: string, metadata = {}): Resource {
  return authorization(name, { action: "CUSTOM", provider: { name: provider }, rules: [{}] }, metadata);
}

/** The filters of the workload's HTTP port, and of its TCP port, by name and as text. */
function filtersOf(...resources: readonly Resource[]) {
  const listener = listenerOf(PROVIDERS, ...resources);
  const [http] = chainsOf(listener, 8080);
  const [tcp] = chainsOf(listener, 9000);
  const http_filters = (http?.filters[0]?.typed_config.http_filters ?? []) as Chain["filters"];
  const told = (filters: Chain["filters"]) =>
    filters.map(({ name, typed_config }) => ({ name, text: JSON.stringify(typed_config) }));
  return { http: told(http_filters), tcp: told(tcp?.filters ?? []) };
}

test("CUSTOM is asked first, about what an RBAC that decides nothing has noted; on TCP only of a gRPC authorizer", () => {
  const { http, tcp } = filtersOf(custom("c", "grpc"), authorization("d", { action: "DENY", rules: [{}] }));
  assert.deepEqual(
    http.slice(0, 3).map(({ name }) => name.replace("envoy.filters.http.", "")),
    ["rbac", "ext_authz", "rbac"],
  );
  assert.ok(!http[0]?.text.includes('"rules":{"action"') && http[0]?.text.includes("shadow_rules"));
  assert.match(http[0]?.text ?? "", /istio-ext-authz-grpc-ns\[foo\]-policy\[c\]-rule\[0\]/);
  assert.match(http[1]?.text ?? "", /"failure_mode_allow":true.*"cluster_name":"outbound\|80\|\|httpbin/);
  assert.match(http[1]?.text ?? "", /filter_enabled_metadata.*"prefix":"istio-ext-authz-grpc"/);
  assert.ok(tcp.some(({ name }) => name === "envoy.filters.network.ext_authz"));
  const other = filtersOf(custom("c", "http"));
  assert.match(other.http[1]?.text ?? "", /"http_service".*"allowed_upstream_headers".*"exact":"x-user"/);
  assert.match(
    other.http[1]?.text ?? "",
    /"allowed_headers":\{"patterns":\[\{"ignore_case":true,"prefix":"x-"/,
  );
  assert.ok(!other.tcp.some(({ name }) => /rbac|ext_authz/.test(name)));
});

test("CUSTOM that cannot be carried out denies what it matches, and so does one that is only to be tried", () => {
  for (const policies of [[custom("c", "nobody")], [custom("c", "grpc"), custom("e", "http")]]) {
    const { http, tcp } = filtersOf(...policies);
    assert.ok(![...http, ...tcp].some(({ name }) => name.endsWith("ext_authz")));
    assert.match(http[0]?.text ?? "", /"rules":\{"action":"DENY".*deny-due-to-bad-CUSTOM-action/);
    assert.match(tcp[0]?.text ?? "", /"rules":\{"action":"DENY".*deny-due-to-bad-CUSTOM-action/);
  }
  const { http } = filtersOf(custom("c", "grpc", DRY_RUN));
  assert.match(http[0]?.text ?? "", /"rules":\{"action":"DENY","policies":\{"istio-ext-authz-grpc-ns/);
  assert.match(http[0]?.text ?? "", /"shadow_rules":\{"action":"DENY","policies":\{\}\}/);
});
