/** What ztunnel makes of the same policies, where it is not what a sidecar makes of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../../src/policy/decide.ts";
import type { AccessSource } from "../../../src/policy/path/access-request.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { authorizationText, namespaceText, peerText } from "../path/journey-text.ts";

const WEB = (mode: "ambient" | "sidecar"): string => {
  const labels = { app: "web", ...(mode === "sidecar" ? { "security.istio.io/tlsMode": "istio" } : {}) };
  const containers = [{ name: "app", image: "app", ports: [{ containerPort: 8080 }] }];
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "a", labels },
    spec: { serviceAccountName: "web", containers },
    status: { podIP: "10.0.0.2" },
  };
  const namespace = namespaceText("a", mode === "ambient" ? { "istio.io/dataplane-mode": "ambient" } : {});
  return `${namespace}---\n${JSON.stringify(pod)}\n`;
};
const MUTUAL: AccessSource = { principal: "cluster.local/ns/a/sa/c", ip: "10.0.0.1" };
const PLAINTEXT: AccessSource = { principal: null, ip: "10.0.0.1" };

async function isAllowed(
  mode: "ambient" | "sidecar",
  resources: string,
  from: AccessSource = MUTUAL,
): Promise<boolean> {
  const request = { from, to: { workload: "a/web", port: 8080 }, path: "/x" } as const;
  return (await decide(meshOf(WEB(mode) + resources), request)).allowed;
}

const both = async (resources: string, from: AccessSource = MUTUAL) => ({
  sidecar: await isAllowed("sidecar", resources, from),
  ambient: await isAllowed("ambient", resources, from),
});
test("ambient: a DISABLE port of a workload that inherits STRICT refuses plaintext, unless another port is PERMISSIVE", async () => {
  const strict = peerText("istio-system", "root", { mtls: { mode: "STRICT" } });
  const own = (portLevelMtls: object, mtls = {}): string =>
    peerText("a", "own", { selector: { matchLabels: { app: "web" } }, portLevelMtls, ...mtls });
  const disabled = { 8080: { mode: "DISABLE" } };
  const asked = (resources: string) => both(strict + resources, PLAINTEXT);
  assert.deepEqual(await asked(own(disabled)), { sidecar: true, ambient: false });
  const permissive = { ...disabled, 9000: { mode: "PERMISSIVE" } };
  assert.deepEqual(await asked(own(permissive)), { sidecar: true, ambient: true });
  assert.deepEqual(await asked(own(disabled, { mtls: { mode: "STRICT" } })), {
    sidecar: true,
    ambient: true,
  });
  assert.deepEqual(await asked(own({ 8080: { mode: "PERMISSIVE" } })), { sidecar: true, ambient: true });
});

const policy = (action: string, ...rules: readonly object[]): string =>
  authorizationText("a", "p", { action, rules });
const PATH_X = { paths: ["/x"] };

test("in ambient mode DISABLE is treated as PERMISSIVE: mutual TLS is taken, and plaintext too", async () => {
  for (const mode of ["DISABLE", "PERMISSIVE"]) {
    const peer = peerText("a", "default", { mtls: { mode } });
    assert.ok(await isAllowed("ambient", peer), mode);
    assert.ok(await isAllowed("ambient", peer, PLAINTEXT), mode);
  }
  const strict = peerText("a", "default", { mtls: { mode: "STRICT" } });
  assert.ok(await isAllowed("ambient", strict));
  assert.ok(!(await isAllowed("ambient", strict, PLAINTEXT)));
});

test("HBONE is always strict: whatever the mode, a certificate that is not the mesh's is refused", async () => {
  for (const mode of ["DISABLE", "PERMISSIVE", "STRICT"]) {
    const peer = peerText("a", "default", { mtls: { mode } });
    assert.ok(!(await isAllowed("ambient", peer, { ...MUTUAL, tls: "rogue" })), mode);
    assert.ok(!(await isAllowed("ambient", peer, { ...MUTUAL, principal: "other/ns/a/sa/c" })), mode);
  }
});

test("ztunnel drops ALLOW rules with any HTTP attribute; the policy still denies the rest", async () => {
  const rule = { from: [{ source: { namespaces: ["a"] } }], to: [{ operation: PATH_X }] };
  assert.deepEqual(await both(policy("ALLOW", rule)), { sidecar: true, ambient: false });
  assert.deepEqual(await both(policy("ALLOW", rule, { from: rule.from })), { sidecar: true, ambient: true });
});

test("a DENY clause that is left empty at ztunnel never matches: the opposite of a sidecar's TCP port", async () => {
  assert.deepEqual(await both(policy("DENY", { to: [{ operation: PATH_X }] })), {
    sidecar: false,
    ambient: true,
  });
  assert.deepEqual(await both(policy("DENY", { to: [{ operation: { ...PATH_X, ports: ["8080"] } }] })), {
    sidecar: false,
    ambient: false,
  });
  const unmatched = { paths: ["/y"], ports: ["8080"] };
  assert.deepEqual(
    await both(policy("DENY", { to: [{ operation: unmatched }] })),
    { sidecar: true, ambient: false },
    "what is left decides alone",
  );
});

test("at ztunnel, as at a sidecar, plaintext matches no positive name and every negated one", async () => {
  const of = (source: object) => both(policy("ALLOW", { from: [{ source }] }), PLAINTEXT);
  for (const field of ["principals", "namespaces"])
    assert.deepEqual(await of({ [field]: ["*"] }), { sidecar: false, ambient: false }, field);
  for (const field of ["notPrincipals", "notNamespaces"])
    assert.deepEqual(await of({ [field]: ["x"] }), { sidecar: true, ambient: true }, field);
});
