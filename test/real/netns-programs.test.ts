/**
 * Programs of others, as they come from Debian and PyPI, in pods: none of them knows of a mesh. They speak mutual TLS with each other
 * all the same, seen in the flow log and on the wire, and policies hold for them.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, cpSync, globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { meshTag } from "../../src/substrate/netns/addresses.ts";
import { fabricOf, NETNS_FOLDER } from "../../src/substrate/netns/names.ts";
import { LiveMesh, temporaryFolder, until } from "./live-mesh.ts";
import { curl, inPod, SKIP } from "./netns/in-pod.ts";
import { run } from "./programs.ts";

const WEB = "shop/web";
const STRANGER = "shop/stranger";
/** Debian's, with the packages that CI has put into the virtual environment of the same version. */
const PYTHON = "/usr/bin/python3";
const [PACKAGES = ""] = globSync(
  resolve(import.meta.dirname, "../../.cache/venv/lib/python3.*/site-packages"),
);
/** Pods have a /tmp of their own: a checkout in the machine's is none of their business. */
let packages = "";
const SECRET = "a-password-that-must-not-be-seen";

const workload = (name: string, ports: string, uid: number) => `
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ${name}, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {selector: {app: ${name}}, ports: [${ports}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: shop}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {serviceAccountName: ${name}, securityContext: {runAsUser: ${uid}}, containers: [{name: app, image: x}]}`;

const mesh_ = (postgresUid: number) => `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web-to-db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  action: ALLOW
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
      to: [{operation: {ports: ["5432"]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: read-only, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  action: ALLOW
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
      to: [{operation: {methods: [GET, POST], paths: ["/", "/echo", "/shop.Cart/*"]}}]
${workload("web", "{name: http, port: 80, targetPort: 8080}", 1000)}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ring, namespace: shop}
spec: {selector: {matchLabels: {app: ring}}, mtls: {mode: PERMISSIVE}}
---
apiVersion: v1
kind: Namespace
metadata: {name: old}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: plain, namespace: old}
spec:
  selector: {matchLabels: {app: plain}}
  template: {metadata: {labels: {app: plain}}, spec: {containers: [{name: app, image: x}]}}
---
apiVersion: v1
kind: Service
metadata: {name: ring-lb, namespace: shop}
spec: {selector: {app: ring}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ring, namespace: shop}
spec: {clusterIP: None, selector: {app: ring}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ring, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: ring}}
  template: {metadata: {labels: {app: ring}}, spec: {serviceAccountName: ring, containers: [{name: app, image: x}]}}
${workload("stranger", "{name: http, port: 80, targetPort: 8080}", 1000)}
${workload("db", "{name: tcp-db, port: 5432}", postgresUid)}
${workload("api", "{name: http, port: 80, targetPort: 8080}, {name: grpc, port: 90, targetPort: 9090}", 1000)}
${workload("banner", "{name: tcp-banner, port: 2525}, {name: auto, port: 2626, appProtocol: tcp}", 1000)}
`;

/** A server that speaks first, on a port that the mesh is told of and on one that it is not. */
const BANNER = `exec python3 -c '
import socket, threading
def serve(port):
    s = socket.create_server(("", port))
    while True:
        c, _ = s.accept(); c.sendall(b"220 hello\\r\\n"); c.close()
for port in (2525, 2626): threading.Thread(target=serve, args=(port,)).start()
'`;

const POSTGRES = (folder: string, bin: string) => `set -e
D=$(mktemp -d ${folder}/bw-pg-XXXXXX)
${bin}/initdb -D "$D/data" -A trust -U shop >"$D/log" 2>&1
echo 'host all all all trust' >> "$D/data/pg_hba.conf"
exec ${bin}/postgres -D "$D/data" -k "$D" -h 0.0.0.0 -p 5432`;

const files = temporaryFolder();
let mesh: LiveMesh;

before(async () => {
  if (SKIP !== false) return;
  packages = mkdtempSync("/var/lib/bw-test-");
  chmodSync(packages, 0o755);
  for (const name of ["grpc", "typing_extensions.py"])
    cpSync(join(PACKAGES, name), join(packages, name), { recursive: true });
  const bin = globSync("/usr/lib/postgresql/*/bin").at(-1) ?? assert.fail("postgresql is not installed");
  const { stdout: uid } = await run("id", ["-u", "postgres"]);
  const file = join(files, "mesh.yaml");
  writeFileSync(file, mesh_(Number(uid)));
  const apps = [`shop/db=${POSTGRES("/tmp", bin)}`, `shop/banner=${BANNER}`].flatMap((app) => ["--app", app]);
  mesh = await LiveMesh.up([file, "--substrate", "netns", ...apps]);
  await until(
    async () => (await inPod(mesh, "shop/db", [`${bin}/pg_isready`, "-h", "127.0.0.1"])).code === 0,
    "PostgreSQL is ready",
    60_000,
  );
});
after(async () => {
  await mesh?.dispose();
  rmSync(files, { recursive: true, force: true });
  if (packages !== "") rmSync(packages, { recursive: true, force: true });
});

/** Waits for the server's record of a connection of this client, and checks that it was mutual TLS. */
async function mutuallyAuthenticated(from: string, to: string): Promise<void> {
  const [namespace, name] = from.split("/");
  await until(
    () =>
      mesh
        .flows("verdict = 'allow'")
        .some(
          ({ reporter, direction, source, tls }) =>
            reporter === to &&
            direction === "inbound" &&
            source?.principal === `cluster.local/ns/${namespace}/sa/${name}` &&
            tls?.version === "TLSv1.3",
        ),
    `${to} has seen ${from} by mutual TLS`,
  );
}

function psql(pod: string, sql: string) {
  return inPod(mesh, pod, ["psql", "-h", "db", "-U", "shop", "-d", "postgres", "-Atc", sql]);
}

test("psql and PostgreSQL: an account that may, one that may not", { skip: SKIP }, async () => {
  const { code, stdout, stderr } = await psql(WEB, "select 6 * 7");
  assert.deepEqual([code, stdout.trim()], [0, "42"], stderr);
  await mutuallyAuthenticated(WEB, "shop/db");
  const refused = await psql(STRANGER, "select 1");
  assert.notEqual(refused.code, 0);
  await until(
    () =>
      mesh
        .flows("verdict = 'deny'")
        .some(({ reporter, source }) => reporter === "shop/db" && source?.workload === STRANGER),
    "the refusal is in the flow log",
  );
});

test("on the wire between the pods there is TLS, and not what was said", { skip: SKIP }, async () => {
  const script = `
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
s.settimeout(0.2)
print("listening", flush=True)
seen = b""
end = time.time() + 60
while time.time() < end:
    try: data = s.recv(65536)
    except TimeoutError: continue
    if data[12:14] == b"\\x08\\x00": seen += data[54:]
    if b"END-OF-CAPTURE" in data: break
print("secret" if b"${SECRET}" in seen else "no secret", "tls" if b"\\x17\\x03\\x03" in seen else "no tls", len(seen))
`;
  const fabric = `${NETNS_FOLDER}/${fabricOf(meshTag(mesh.state.root))}`;
  const sniffer = spawn("nsenter", [`--net=${fabric}`, "--", "python3", "-c", script]);
  let said = "";
  sniffer.stdout.on("data", (chunk) => {
    said += String(chunk);
  });
  const ended = new Promise((settle) => sniffer.once("close", settle));
  await until(() => said.includes("listening"), "the capture runs");
  const { stdout } = await psql(WEB, `select '${SECRET}'`);
  assert.equal(stdout.trim(), SECRET);
  // Not to a proxy: what marks the end of the capture goes past all of them, and is dropped.
  await inPod(mesh, WEB, [
    "python3",
    "-c",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'END-OF-CAPTURE', ('198.18.0.9', 9))",
  ]);
  await ended;
  assert.match(said, /no secret tls \d+/);
});

test("curl, wget and Python's requests: methods and paths as the policy has them", {
  skip: SKIP,
}, async () => {
  const got = await curl(mesh, WEB, ["http://api/"]);
  assert.equal(got.status, 200, got.error);
  assert.match(got.body, /"uri":"spiffe:\/\/cluster.local\/ns\/shop\/sa\/web"/);
  assert.equal((await curl(mesh, WEB, ["http://api/other"])).status, 403);
  assert.equal((await curl(mesh, STRANGER, ["http://api/"])).status, 403);
  assert.equal((await curl(mesh, WEB, ["-6", "http://api.shop/"])).status, 200);
  const wget = await inPod(mesh, WEB, ["wget", "-q", "-O", "-", "http://api.shop.svc.cluster.local/"]);
  assert.equal((JSON.parse(wget.stdout) as { workload: string }).workload, "shop/api");
  const script = `
import requests
s = requests.Session()
print(s.get("http://api/").json()["workload"], s.delete("http://api/").status_code, s.post("http://api/echo", data="x" * 100000).text == "x" * 100000)
`;
  const requests = await inPod(mesh, WEB, [PYTHON, "-c", script]);
  assert.equal(requests.stdout.trim(), "shop/api 403 True", requests.stderr);
  await mutuallyAuthenticated(WEB, "shop/api");
});

test("a gRPC client of Google's library: a method that is allowed, and one that is not", {
  skip: SKIP,
}, async () => {
  const script = `
import grpc
channel = grpc.insecure_channel("api:90")
grpc.channel_ready_future(channel).result(timeout=20)
call = lambda path: channel.unary_unary(path)(b"two apples", timeout=20)
print(call("/shop.Cart/Add"))
try: print(call("/shop.Admin/Drop"))
except grpc.RpcError as error: print(error.code().name, error.details())
`;
  const { stdout, stderr } = await inPod(mesh, WEB, ["env", `PYTHONPATH=${packages}`, PYTHON, "-c", script]);
  assert.deepEqual(
    stdout.trim().split("\n"),
    ["b'two apples'", "PERMISSION_DENIED RBAC: access denied"],
    stderr,
  );
});

test("each pod of a headless service is reached by its own name, in both families", {
  skip: SKIP,
}, async () => {
  for (const family of ["-4", "-6"])
    for (const pod of ["ring-0", "ring-1"]) {
      const { status, body, error } = await curl(mesh, WEB, [family, `http://${pod}.ring:8080/`]);
      assert.equal(status, 200, `${pod} ${family}: ${error}`);
      assert.equal((JSON.parse(body) as { pod: string }).pod, `shop/${pod}`);
    }
  await mutuallyAuthenticated(WEB, "shop/ring");
});

test("a pod without a sidecar finds services by name and address, and is let in where plaintext is", {
  skip: SKIP,
}, async () => {
  for (const family of ["-4", "-6"])
    assert.equal((await curl(mesh, "old/plain", [family, "http://ring-lb.shop/"])).status, 200, family);
  assert.equal((await curl(mesh, "old/plain", ["http://api.shop/"])).status, 0);
  await until(
    () =>
      mesh
        .flows("verdict = 'deny'")
        .some(
          ({ source, reason, reporter }) =>
            source?.workload === "old/plain" && reason === "no-chain" && reporter === "shop/api",
        ),
    "the refusal is in the flow log",
  );
});

test("a server that speaks first is heard, also where nobody said that it does", { skip: SKIP }, async () => {
  for (const port of [2525, 2626]) {
    const { stdout, stderr } = await inPod(mesh, WEB, [
      "python3",
      "-c",
      `import socket; print(socket.create_connection(("banner", ${port}), 30).makefile().readline().strip())`,
    ]);
    assert.equal(stdout.trim(), "220 hello", `${port}: ${stderr}`);
  }
  await mutuallyAuthenticated(WEB, "shop/banner");
});
