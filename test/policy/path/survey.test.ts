import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessRequest, can, canAll, loadMesh, type Mesh, type Pair } from "../../../src/index.ts";
import { meshFrom, workloadText } from "./mesh-text.ts";

const ALLOW = `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: to-s, namespace: default}
spec:
  selector: {matchLabels: {app: s}}
  rules:
  - from: [{source: {principals: ["cluster.local/ns/default/sa/a", "*/sa/ingress"]}}]
    to: [{operation: {methods: [POST], paths: ["/api/*", "/t/{*}/end", "*.js"]}}]
  - from: [{source: {namespaces: [other]}}]
    when: [{key: "request.headers[x-key]", values: ["se*"]}]
`;
const GATEWAY = `---
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: default, labels: {istio: gw}}
spec: {serviceAccountName: ingress, containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`;
const OUTSIDE = `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: default}
spec: {hosts: ["*.example.com"], ports: [{number: 443, name: tls, protocol: TLS}], location: MESH_EXTERNAL}
`;

const { mesh } = await meshFrom(
  ...["s", "a", "b"].map((name) => workloadText({ name })),
  workloadText({ name: "c", namespace: "other" }),
  workloadText({ name: "bare", annotations: '{sidecar.istio.io/inject: "false"}' }).replace(
    "security.istio.io/tlsMode: istio",
    "mesh: none",
  ),
  ALLOW,
  GATEWAY,
  OUTSIDE,
);

function verdicts(pairs: readonly Pair[], port: number): Record<string, string> {
  return Object.fromEntries(
    pairs.filter((pair) => pair.port === port).map(({ from, verdict }) => [from, verdict]),
  );
}

/** The request that a pair stands for, as anybody would ask it alone. */
function alone(
  { from, to, port, service }: Pair,
  at: number,
  principals: ReadonlyMap<string, string>,
): AccessRequest {
  const [, host = "", servicePort = ""] = /^(.*):(\d+)$/.exec(service ?? "") ?? [];
  const principal = from === "{plaintext}" ? null : principals.get(from);
  return {
    id: String(at),
    from: principal === undefined ? { workload: from } : { principal },
    to: service === null ? { workload: to, port } : { host, port: Number(servicePort) },
  };
}

async function assertAgree(mesh: Mesh, pairs: readonly Pair[]): Promise<void> {
  const gateways = mesh.workloads.filter(({ role }) => role === "gateway");
  const principals = new Map(gateways.map(({ key, spiffeId }) => [key, spiffeId.slice("spiffe://".length)]));
  for (const [at, pair] of pairs.entries()) {
    for (const { request, verdict, cause, policy, rule } of pair.requests) {
      const [decision] = await can(mesh, [{ ...request, ...alone(pair, at, principals) }]);
      const word = decision?.allowed ? "allowed" : decision?.reason === "unknown" ? "unknown" : "denied";
      assert.deepEqual(
        [word, decision?.cause, decision?.policy, decision?.rule],
        [verdict, cause, policy, rule],
        JSON.stringify([pair.from, pair.to, pair.port, request]),
      );
    }
  }
}

test("canAll() to a workload: applications, gateways and those without a certificate, port by port", async () => {
  const pairs = await canAll(mesh, { to: "default/s" });
  assert.deepEqual(verdicts(pairs, 8080), {
    "default/a": "partly",
    "default/b": "denied",
    "other/c": "partly",
    "default/bare": "denied",
    "default/gw": "partly",
    "{plaintext}": "denied",
  });
  await assertAgree(mesh, pairs);
});

test("canAll() without requests asks what the policies name, and GET / besides", async () => {
  const [pair] = await canAll(mesh, { to: "default/s", port: 8080 });
  assert.deepEqual(
    pair?.requests.map(({ request: { method, path, headers } }) => [method, path, headers ?? []]),
    [
      ["GET", "/", []],
      ["POST", "/api/x", []],
      ["POST", "/t/x/end", []],
      ["POST", "/x.js", []],
      ["GET", "/", [["x-key", "sex"]]],
    ],
  );
});

test("canAll() from a workload: every port of every other, hosts outside, and one that nobody knows", async () => {
  const pairs = await canAll(mesh, { from: "default/a" });
  assert.deepEqual(
    [...new Set(pairs.map(({ to }) => to))],
    ["default/s", "default/b", "other/c", "default/bare", "*.example.com", "{any other host}"],
  );
  assert.deepEqual(
    pairs.filter(({ to }) => to.startsWith("{")).map(({ requests: [first] }) => first?.cause),
    ["passthrough", "passthrough"],
  );
  await assertAgree(mesh, pairs);
});

test("canAll() asks the given requests, of the namespace and port named, and what does not fit is refused", async () => {
  const pairs = await canAll(mesh, {
    to: "default/s",
    port: 8080,
    namespace: "other",
    requests: [{ path: "/x", headers: [["x-key", "secret"]] }],
  });
  assert.deepEqual(
    pairs.map(({ from, verdict, requests }) => [from, verdict, requests.length]),
    [["other/c", "allowed", 1]],
  );
  for (const [question, message] of [
    [{ to: "default/x" }, /no workload `default\/x`/],
    [{ to: "default/s", namespace: "othr" }, /did you mean `other`/],
    [{ to: "default/s", from: "default/a" }, /name one workload/],
    [{}, /name one workload/],
    [{ to: "default/gw" }, /nothing to ask/],
    [{ to: "default/s", requests: [{ methd: "GET" } as object] }, /did you mean `method`/],
  ] as const)
    await assert.rejects(canAll(mesh, question), { code: "BW_REQUEST_INVALID", message });
});

for (const folder of ["examples/payroll", "examples/egress"])
  test(`${folder}: every pair comes out as the request alone does`, async () => {
    const { mesh } = await loadMesh(folder);
    for (const { key } of mesh.workloads.filter(({ role }) => role === "application"))
      for (const question of [{ to: key }, { from: key }])
        await assertAgree(mesh, await canAll(mesh, question));
  });
