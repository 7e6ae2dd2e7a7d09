/**
 * Where network-config-analyzer answers otherwise than `diff` and `map` do (docs/diff.md), live traffic between network namespaces: what gets
 * there, with plain programs in the pods. Needs root and what `--substrate netns` needs.
 */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LiveMesh, temporaryFolder } from "./live-mesh.ts";
import { curl, SKIP } from "./netns/in-pod.ts";

const workload = (namespace: string, name: string, account = name, labels = ""): string => `---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {app: ${name}}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: http2, port: 81, targetPort: 8081}, {name: tcp, port: 9000}]
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}${labels}}}
spec:
  serviceAccountName: ${account}
  containers: [{name: app, image: app, ports: [{containerPort: 8080}, {containerPort: 8081}, {containerPort: 9000}]}]
`;
const allow = (app: string, rule: string): string => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${app}, namespace: shop}
spec: {selector: {matchLabels: {app: ${app}}}, rules: [${rule}]}
`;
const NO_SIDECAR = ', sidecar.istio.io/inject: "false"';
const METHODS_IN_T = "GET, PUT, CONNECT";

const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: narrow, labels: {istio-injection: enabled}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: narrow}
spec: {egress: [{hosts: ["./*"]}], outboundTrafficPolicy: {mode: ALLOW_ANY}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: known, namespace: shop}
spec: {hosts: [known.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, location: MESH_EXTERNAL}
${workload("narrow", "client", "product-of-tomorrow")}${workload("shop", "web")}
${workload("shop", "open")}
${workload("shop", "pattern")}${allow("pattern", '{to: [{operation: {methods: ["*T"]}}]}')}
${workload("shop", "list")}${allow("list", `{to: [{operation: {methods: [${METHODS_IN_T}]}}]}`)}
${workload("shop", "accounts")}${allow("accounts", '{from: [{source: {principals: ["cluster.local/ns/narrow/sa/product*"]}}]}')}
${workload("shop", "methods")}${allow("methods", '{to: [{operation: {methods: ["*"]}}]}')}
${workload("shop", "bare", "bare", NO_SIDECAR)}${allow("bare", '{to: [{operation: {methods: ["NONE"]}}]}')}
`;

const files = temporaryFolder();
let mesh: LiveMesh;
before(async () => {
  writeFileSync(join(files, "mesh.yaml"), MESH);
  if (SKIP === false) mesh = await LiveMesh.up([files, "--substrate", "netns", "--simulate-external"]);
});
after(async () => {
  await mesh?.dispose();
  rmSync(files, { recursive: true, force: true });
});

const WEB = "shop/web";
const NARROW = "narrow/client";
const url = (server: string, port = 80): string => `http://${server}.shop.svc.cluster.local:${port}/`;

test("what a Sidecar does not import is reached all the same under ALLOW_ANY: in clear", {
  skip: SKIP,
}, async () => {
  const { status, body, error } = await curl(mesh, NARROW, [url("open")]);
  assert.equal(status, 200, error);
  assert.doesNotMatch(body, /sa\/product-of-tomorrow/);
  // Who is imported is spoken to with the client's identity: the difference is that, and not whether it is reached.
  assert.match((await curl(mesh, WEB, [url("open")])).body, /sa\/web/);
});

test("`*T` takes a method that no list of the usual ones has", { skip: SKIP }, async () => {
  const foot = ["--http2-prior-knowledge", "-X", "FOOT"];
  assert.equal((await curl(mesh, WEB, [...foot, url("pattern", 81)])).status, 200);
  assert.equal((await curl(mesh, WEB, [...foot, url("list", 81)])).status, 403);
  for (const server of ["pattern", "list"]) assert.equal((await curl(mesh, WEB, [url(server)])).status, 200);
});

test("`product*` takes an account that nobody had when it was written", { skip: SKIP }, async () => {
  writeFileSync(join(files, "imported.yaml"), IMPORTED);
  const reached = async (): Promise<number> => (await curl(mesh, NARROW, [url("accounts")])).status;
  let status = await reached();
  for (let tries = 0; status !== 200 && tries < 60; tries++) status = await reached();
  assert.equal(status, 200);
  assert.equal((await curl(mesh, WEB, [url("accounts")])).status, 403);
});

/** So that the client shows who it is. */
const IMPORTED = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: client, namespace: narrow}
spec: {workloadSelector: {labels: {app: client}}, egress: [{hosts: ["*/*"]}]}
`;

test("a rule about methods, `*` too, lets no TCP through; a policy without one does", {
  skip: SKIP,
}, async () => {
  const raw = (server: string) =>
    mesh.call(WEB, `tcp://${server}.shop.svc.cluster.local:9000`, "-d", "raw bytes");
  assert.equal((await raw("open")).answer.body, "raw bytes");
  const refused = await raw("methods");
  assert.deepEqual([refused.answer.body, refused.result], ["", "refused"]);
  assert.equal((await curl(mesh, WEB, [url("methods")])).status, 200);
});

test("under ALLOW_ANY a ServiceEntry adds a name: what it does not name is reached as well", {
  skip: SKIP,
}, async () => {
  const address = mesh.assignments.standIns.find(({ host }) => host === "known.example")?.address ?? "";
  assert.notEqual(address, "");
  for (const host of ["known.example", "unknown.example"])
    assert.equal(
      (await curl(mesh, WEB, ["--resolve", `${host}:80:${address}`, `http://${host}/`])).status,
      200,
      host,
    );
});

test("no AuthorizationPolicy holds for a pod without a sidecar", { skip: SKIP }, async () => {
  assert.equal((await curl(mesh, WEB, [url("bare")])).status, 200);
});
