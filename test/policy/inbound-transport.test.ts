import assert from "node:assert/strict";
import { test } from "node:test";
import { chainOf, decideConnection, detectsProtocol } from "../../src/policy/inbound.ts";
import { connect, policyOf, resource, SLEEP } from "./inbound-fixture.ts";

const ROOT = { namespace: "istio-system" };

function peer(
  name: string,
  spec: Record<string, unknown>,
  rest: { namespace?: string; createdAt?: number } = {},
) {
  return resource("PeerAuthentication", name, spec, rest);
}

const own = { selector: { matchLabels: { app: "httpbin" } } };
const strict = { mtls: { mode: "STRICT" } };

test("transport() is PERMISSIVE by default", () => {
  assert.deepEqual(policyOf([]).transport(8080), { mode: "PERMISSIVE", policy: null });
});

test("transport(): workload over namespace over mesh, and each names the policy that set it", () => {
  const mesh = peer("default", strict, ROOT);
  const namespace = peer("default", { mtls: { mode: "DISABLE" } });
  const workload = peer("own", { ...own, mtls: { mode: "PERMISSIVE" } });
  assert.deepEqual(policyOf([mesh]).transport(1), {
    mode: "STRICT",
    policy: "PeerAuthentication istio-system/default",
  });
  assert.deepEqual(policyOf([mesh, namespace]).transport(1), {
    mode: "DISABLE",
    policy: "PeerAuthentication foo/default",
  });
  assert.deepEqual(policyOf([mesh, namespace, workload]).transport(1), {
    mode: "PERMISSIVE",
    policy: "PeerAuthentication foo/own",
  });
});

test("transport(): UNSET inherits at every level", () => {
  const mesh = peer("default", strict, ROOT);
  const namespace = peer("default", { mtls: { mode: "UNSET" } });
  const workload = peer("own", {
    ...own,
    portLevelMtls: { 7000: { mode: "UNSET" }, 9999: { mode: "DISABLE" } },
  });
  const policy = policyOf([mesh, namespace, workload]);
  assert.equal(policy.transport(7000).mode, "STRICT");
  assert.equal(policy.transport(8080).mode, "STRICT");
  assert.equal(policy.transport(9999).mode, "DISABLE");
});

test("transport(): of several policies at one level the oldest wins alone", () => {
  const younger = peer("a", { ...own, ...strict }, { createdAt: 2 });
  const older = peer("b", { ...own, mtls: { mode: "DISABLE" } }, { createdAt: 1 });
  assert.equal(policyOf([younger, older]).transport(1).mode, "DISABLE");
});

test("transport(): a policy with a selector in the root namespace counts for nobody", () => {
  assert.equal(policyOf([peer("own", { ...own, ...strict }, ROOT)]).transport(1).mode, "PERMISSIVE");
});

test("transport(): a policy that selects other workloads does not count", () => {
  const other = peer("other", { selector: { matchLabels: { app: "other" } }, ...strict });
  assert.equal(policyOf([other]).transport(1).mode, "PERMISSIVE");
});

const plaintext = { principal: null };
const simple = { principal: null, tls: "simple" as const };

test("decideConnection() refuses plaintext to a STRICT port, declared or not, without an answer", () => {
  const policy = policyOf([peer("default", strict)]);
  for (const destinationPort of [8080, 9000, 7000, 9999]) {
    const verdict = decideConnection(policy, connect({ ...plaintext, destinationPort }));
    assert.equal(verdict.reason, "no-chain");
    assert.equal(verdict.code, 0);
    assert.ok(!verdict.allowed);
  }
});

test("decideConnection() on STRICT: certificates only, of the mesh's roots and trust domains", () => {
  const policy = policyOf([peer("default", strict)]);
  assert.equal(decideConnection(policy, connect(simple)).cause, "no-client-certificate");
  assert.equal(decideConnection(policy, connect({ tls: "rogue" })).cause, "untrusted-certificate");
  for (const principal of [
    "evil.domain/ns/foo/sa/sleep",
    "dns:sleep.foo",
    "cluster.local",
    "cluster.local.evil/ns/foo/sa/sleep",
  ]) {
    assert.equal(decideConnection(policy, connect({ principal })).cause, "foreign-trust-domain", principal);
  }
  assert.ok(decideConnection(policy, connect()).allowed);
});

test("chainOf(): on PERMISSIVE, TLS without the mesh's ALPN finds no HTTP chain and passes through TCP ones", () => {
  const policy = policyOf([]);
  assert.equal(chainOf(policy, connect({ ...simple, destinationPort: 8080 })).refusal?.reason, "no-chain");
  assert.equal(chainOf(policy, connect({ ...simple, destinationPort: 9000 })).tls, "pass");
  assert.equal(chainOf(policy, connect({ ...simple, destinationPort: 7000 })).tls, "pass");
});

test("chainOf(): on a port to be detected, the first ALPN name that the mesh knows decides", () => {
  const policy = policyOf([]);
  const protocol = (alpn: readonly string[]) => {
    const chain = chainOf(policy, connect({ destinationPort: 7000, alpn }));
    return `${chain.tls} ${chain.protocol}`;
  };
  assert.equal(protocol(["istio-http/1.1", "istio"]), "terminate http");
  assert.equal(protocol(["istio", "istio-http/1.1"]), "terminate tcp");
  assert.equal(protocol(["h2", "istio-h2"]), "terminate http");
  assert.equal(protocol(["h2", "http/1.1"]), "pass tcp");
});

test("chainOf(): on a STRICT port to be detected, TLS without the mesh's ALPN is TCP in mutual TLS", () => {
  const policy = policyOf([peer("default", strict)]);
  const chain = chainOf(policy, connect({ destinationPort: 7000, alpn: ["http/1.1"] }));
  assert.deepEqual([chain.tls, chain.protocol], ["terminate", "tcp"]);
});

test("decideConnection(): DISABLE takes no TLS on an HTTP port and passes it on others", () => {
  const policy = policyOf([peer("default", { mtls: { mode: "DISABLE" } })]);
  assert.equal(decideConnection(policy, connect()).cause, "tls-to-plaintext-port");
  assert.equal(chainOf(policy, connect({ destinationPort: 9000 })).tls, "pass");
  assert.ok(decideConnection(policy, connect(plaintext)).allowed);
});

test("decideConnection(): TLS that passes through undecrypted has no identity", () => {
  const needsIdentity = resource("AuthorizationPolicy", "p", {
    rules: [{ from: [{ source: { principals: [SLEEP] } }] }],
  });
  const at = { destinationPort: 9000, alpn: ["http/1.1"] };
  assert.equal(decideConnection(policyOf([needsIdentity]), connect(at)).cause, "no-allow-matched");
  assert.ok(decideConnection(policyOf([needsIdentity]), connect({ ...at, alpn: ["istio"] })).allowed);
});

test("decideConnection(): the server name is known on a PERMISSIVE port and unknown on a DISABLE one", () => {
  const bySni = resource("AuthorizationPolicy", "p", {
    rules: [{ when: [{ key: "connection.sni", values: ["www.example.com"] }] }],
  });
  const call = { ...simple, destinationPort: 9000, sni: "WWW.example.com" };
  assert.ok(decideConnection(policyOf([bySni]), connect(call)).allowed);
  const disabled = peer("default", { mtls: { mode: "DISABLE" } });
  assert.ok(!decideConnection(policyOf([bySni, disabled]), connect(call)).allowed);
});

test("detectsProtocol() holds for ports of unknown protocol and undeclared ones alone", () => {
  const policy = policyOf([]);
  assert.deepEqual(
    [8080, 9000, 7000, 9999].map((port) => detectsProtocol(policy, port)),
    [false, false, true, true],
  );
});

test("a Sidecar's inbound listeners take the place of what Services declare", () => {
  const sidecar = resource("Sidecar", "sc", {
    workloadSelector: { labels: { app: "httpbin" } },
    ingress: [{ port: { number: 9000, protocol: "HTTP", name: "x" } }],
  });
  const policy = policyOf([sidecar]);
  assert.equal(detectsProtocol(policy, 8080), true);
  assert.equal(chainOf(policy, connect({ destinationPort: 9000, ...plaintext })).protocol, "http");
});
