/** The record of a refused call says what `bulwark can` says of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { callAsWorkload } from "../../src/control/workload-call.ts";
import { explainOutbound } from "../../src/policy/outbound/explain-outbound.ts";
import { callThroughSidecar } from "./client.ts";
import { SECRET, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const MESH = `
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: a}
spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: a}
spec: {egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: a}
spec: {hosts: ["*.outside.test"], location: MESH_EXTERNAL, resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other, namespace: a}
spec: {hosts: [other.test], location: MESH_EXTERNAL, resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}
`;

test("a request to a port that its host lacks is refused with that reason, live and offline alike", async (context) => {
  const { mesh, pod } = await startMesh(context, MESH, { net: 61 });
  const client = pod("a/client");
  const { status } = await callThroughSidecar(client, "GET", "http://www.outside.test/");
  assert.equal(status, 502);
  await until(() => client.flows.length === 1, "the record");
  const [{ reason, explanation = [] } = {}] = client.flows;
  assert.equal(reason, "blackhole");
  assert.match(
    explanation.join("\n"),
    /ServiceEntry a\/outside \(`\*\.outside\.test`\) has no port 80 \(it has 443\)/,
  );
  const workload = mesh.workloads.find(({ key }) => key === "a/client");
  assert.ok(workload !== undefined);
  assert.deepEqual(
    explanation,
    explainOutbound(mesh, workload, {
      protocol: "http",
      host: "www.outside.test",
      port: 80,
      authority: "www.outside.test",
      method: "GET",
      path: "/",
      headers: [],
    }),
  );
});

test("a call to an address over TLS sends no server name, and its refusal is the mesh's", async (context) => {
  const { pod } = await startMesh(context, MESH, { net: 62 });
  const client = pod("a/client");
  for (const host of ["192.0.2.7", "[2001:db8::7]"]) {
    client.flows.length = 0;
    const assignment = {
      workload: "a/client",
      address: client.pod.address,
      outboundSecret: SECRET,
      proxied: true,
    } as Parameters<typeof callAsWorkload>[0];
    const { status, failure = "" } = await callAsWorkload(assignment, {
      url: new URL(`https://${host}/`),
      method: "GET",
      headers: [],
      http2: false,
      timeoutMs: 5000,
      insecure: false,
    });
    assert.equal(status, 0);
    assert.doesNotMatch(failure, /ERR_INVALID_ARG_VALUE|servername/);
    await until(() => client.flows.length === 1, `the record of ${host}`);
    const [{ verdict, reason, sni, protocol } = {}] = client.flows;
    assert.deepEqual([verdict, reason, sni, protocol], ["deny", "blackhole", undefined, "tls"]);
  }
});

test("under ALLOW_ANY a port that a Service lacks is told as such, and an unknown name as unresolved", async (context) => {
  const yaml = `
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: a}
spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: client}, ports: [{name: http, port: 80}, {name: tcp, port: 9000}]}
`;
  // A stand-in makes the resolver work offline.
  const { pod } = await startMesh(context, yaml, {
    net: 63,
    standIns: [{ host: "outside.test", address: "127.63.9.9" }],
  });
  const client = pod("a/client");
  const explain = async (host: string): Promise<string> => {
    client.flows.length = 0;
    await callThroughSidecar(client, "GET", `http://${host}/`);
    await until(() => client.flows.length === 1, "the record");
    const [{ verdict, explanation = [] } = {}] = client.flows;
    assert.equal(verdict, "error");
    return explanation.join("\n");
  };
  assert.match(await explain("server.a:443"), /Service a\/server has no port 443 \(it has 80, 9000\)/);
  assert.match(await explain("nobody.test"), /no stand-in for `nobody\.test`/);
});
