import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh } from "../../../src/model/mesh.ts";
import { type AmbientRoute, ambientRoute } from "../../../src/policy/ambient/ambient-route.ts";
import type { DialedDestination } from "../../../src/policy/outbound/types.ts";
import { meshDirectory } from "../../../src/policy/path/compiled-policies.ts";
import { meshOf } from "../../dataplane/mesh-fixture.ts";

const POD = (name: string, ip: string, labels = ""): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: m, labels: {app: ${name}${labels}}, annotations: {ambient.istio.io/redirection: enabled}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
status: {podIP: ${ip}}
---
`;
const SERVICE = (name: string, spec: string, labels = ""): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: m, labels: {${labels}}}
spec: {selector: {app: server}, ports: [{name: tcp, port: 80, targetPort: 9000}], ${spec}}
---
`;
const ENTRY = (name: string, spec: string, labels = ""): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, namespace: m, labels: {${labels}}}
spec: {location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}], ${spec}}
---
`;
const USES = "istio.io/use-waypoint: wp";
const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: m, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: p, labels: {istio-injection: enabled}}
---
${POD("client", "10.0.0.1")}${POD("server", "10.0.0.2", `, ${USES}`)}
apiVersion: v1
kind: Pod
metadata:
  name: wp
  namespace: m
  labels: {gateway.networking.k8s.io/gateway-name: wp, istio.io/dataplane-mode: none, sidecar.istio.io/inject: "false", ${USES}}
spec: {serviceAccountName: wp, containers: [{name: istio-proxy, image: auto}]}
status: {podIP: 10.0.0.9}
---
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: p, labels: {app: plain, sidecar.istio.io/inject: "false"}}
spec: {containers: [{name: app, image: app}]}
status: {podIP: 10.0.0.3}
---
apiVersion: v1
kind: Pod
metadata: {name: sidecar, namespace: p, labels: {app: sidecar, security.istio.io/tlsMode: istio}}
spec: {containers: [{name: app, image: app}]}
status: {podIP: 10.0.0.4}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: m, labels: {istio.io/waypoint-for: all}}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
${SERVICE("open", "clusterIP: 10.96.0.1")}
${SERVICE("bound", "clusterIP: 10.96.0.2", USES)}
${SERVICE("lost", "clusterIP: 10.96.0.3", "istio.io/use-waypoint: nowhere")}
${SERVICE("headless", "clusterIP: None")}
${ENTRY("none", "hosts: [none.example.com], resolution: NONE, workloadSelector: {labels: {app: server}}")}
${ENTRY("wide", 'hosts: ["*.example.org"], resolution: DYNAMIC_DNS', USES)}
${ENTRY("narrow", 'hosts: ["*.api.example.org"], resolution: DYNAMIC_DNS', USES)}
${ENTRY("addressless", 'hosts: ["*.deep.api.example.org"], resolution: NONE')}
`;

const mesh = meshOf(MESH);

function routeTo(dialled: DialedDestination, otherMode?: boolean, of: Mesh = mesh): AmbientRoute {
  const directory = meshDirectory(of);
  const client = directory.workloads.get("m/client");
  assert.ok(client !== undefined);
  return ambientRoute(of, client, dialled, { directory, ...(otherMode === undefined ? {} : { otherMode }) });
}

/** The only end, in short. */
function endOf({ ends }: AmbientRoute): string {
  assert.equal(ends?.length, 1);
  const [end] = ends;
  switch (end?.kind) {
    case "pod":
      return `${end.hbone ? "hbone" : "clear"} ${end.workload.key} ${end.address}:${end.port}`;
    case "outside":
      return `outside ${end.address}:${end.port}`;
    case "waypoint": {
      const { kind, address, port } = end.addressed;
      return `${end.waypoint.key} for ${kind} ${address}:${port}`;
    }
    default:
      return `unknown: ${end?.why ?? ""}`;
  }
}

test("a service's address goes by the service's waypoint, a pod's by the pod's; a service without one goes to its pods, whatever those have", () => {
  assert.equal(endOf(routeTo({ ip: "10.96.0.2", port: 80 })), "m/wp for service 10.96.0.2:80");
  assert.equal(endOf(routeTo({ host: "bound", port: 80 })), "m/wp for service 10.96.0.2:80");
  assert.equal(endOf(routeTo({ ip: "10.0.0.2", port: 9000 })), "m/wp for workload 10.0.0.2:9000");
  assert.equal(endOf(routeTo({ ip: "10.96.0.1", port: 80 })), "hbone m/server 10.0.0.2:9000");
});

test("behind a service without an address of its own it is the pod that is dialled, and its waypoint that counts", () => {
  assert.equal(endOf(routeTo({ host: "headless", port: 9000 })), "m/wp for workload 10.0.0.2:9000");
  assert.equal(endOf(routeTo({ host: "none.example.com", port: 80 })), "m/wp for workload 10.0.0.2:80");
});

test("to pods it speaks as they take it; a waypoint's own pod has no waypoint", () => {
  assert.equal(endOf(routeTo({ ip: "10.0.0.1", port: 9000 })), "hbone m/client 10.0.0.1:9000");
  assert.equal(endOf(routeTo({ ip: "10.0.0.3", port: 80 })), "clear p/plain 10.0.0.3:80");
  assert.equal(endOf(routeTo({ ip: "10.0.0.4", port: 80 })), "clear p/sidecar 10.0.0.4:80");
  assert.equal(endOf(routeTo({ ip: "10.0.0.9", port: 80 })), "clear m/wp 10.0.0.9:80");
});

test("as if servers stood in the other mode: no waypoint counts, sidecars take HBONE, what has no proxy does not", () => {
  assert.equal(endOf(routeTo({ ip: "10.96.0.2", port: 80 }, true)), "hbone m/server 10.0.0.2:9000");
  assert.equal(endOf(routeTo({ ip: "10.0.0.2", port: 9000 }, true)), "hbone m/server 10.0.0.2:9000");
  assert.equal(endOf(routeTo({ ip: "10.0.0.4", port: 80 }, true)), "hbone p/sidecar 10.0.0.4:80");
  assert.equal(endOf(routeTo({ ip: "10.0.0.3", port: 80 }, true)), "clear p/plain 10.0.0.3:80");
  assert.equal(endOf(routeTo({ ip: "10.0.0.4", port: 80 }, false)), "clear p/sidecar 10.0.0.4:80");
});

test("what nothing serves has no end; what is nobody's of the mesh passes", () => {
  assert.deepEqual(routeTo({ ip: "10.96.0.1", port: 81 }).ends, []);
  for (const dialled of [{ ip: "192.0.2.1", port: 80 }, { host: "elsewhere.test", port: 80 }, { port: 80 }]) {
    const { ends, service } = routeTo(dialled);
    assert.deepEqual([ends, service], [null, undefined]);
  }
});

test("a waypoint that is asked for and cannot be used is passed by, and that is noted; else nothing is", () => {
  const lost = routeTo({ ip: "10.96.0.3", port: 80 });
  assert.equal(endOf(lost), "hbone m/server 10.0.0.2:9000");
  assert.equal(lost.notes.length, 1);
  assert.match(lost.notes[0] ?? "", /waypoint m\/nowhere is not there/);
  for (const ip of ["10.96.0.1", "10.96.0.2", "10.0.0.3"])
    assert.deepEqual(routeTo({ ip, port: 80 }).notes, []);
});

test("a name goes by the most specific wildcard that has an address, in any letters, with or without the dot at its end", () => {
  const hostOf = (host: string): string | undefined => routeTo({ host, port: 80 }).service?.hostname;
  assert.equal(hostOf("a.example.org"), "*.example.org");
  assert.equal(hostOf("a.api.example.org"), "*.api.example.org");
  assert.equal(hostOf("A.API.Example.org."), "*.api.example.org");
  assert.equal(hostOf("a.deep.api.example.org"), "*.api.example.org");
  assert.equal(hostOf("example.org"), undefined);
  assert.equal(endOf(routeTo({ host: "a.example.org", port: 80 })), "m/wp for service :80");
});

test("an address that a pod was given is the pod's, whatever service has it", () => {
  const directory = meshDirectory(mesh);
  const client = directory.workloads.get("m/client");
  const plain = directory.workloads.get("p/plain");
  assert.ok(client !== undefined && plain !== undefined);
  const byAddress = new Map([...directory.byAddress, ["10.96.0.2", plain] as const]);
  const given = { directory: { ...directory, byAddress } };
  const route = ambientRoute(mesh, client, { ip: "10.96.0.2", port: 80 }, given);
  assert.equal(endOf(route), "clear p/plain 10.96.0.2:80");
});
