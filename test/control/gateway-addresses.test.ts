import assert from "node:assert/strict";
import { test } from "node:test";
import { renderGateways } from "../../src/cli/render/status.ts";
import { gatewayAddresses } from "../../src/control/gateway-addresses.ts";
import type { Assignments, PodAssignment } from "../../src/substrate/assignment.ts";
import { meshOf } from "../dataplane/mesh-fixture.ts";

const MESH = meshOf(`
apiVersion: v1
kind: Pod
metadata: {name: ingress, namespace: a, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy, image: auto, args: [proxy, router]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: a}
spec:
  selector: {istio: ingressgateway}
  servers:
    - {port: {number: 8080, name: http, protocol: HTTP}, hosts: [shop.test, "b/api.test"]}
    - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: cert}}
    - {port: {number: 9443, name: tls, protocol: TLS}, hosts: [db.test], tls: {mode: PASSTHROUGH}}
    - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}
`);
const POD = { name: "ingress", namespace: "a", workload: "a/ingress", replica: 0, address: "127.0.2.3" };
const ASSIGNMENTS: Assignments = {
  pods: [POD as PodAssignment],
  standIns: [],
  skipped: [],
  privilegedPortOffset: 10_000,
};

test("every server of a gateway is told with the address it listens on, its hosts and its TLS mode", () => {
  const told = gatewayAddresses(MESH, ASSIGNMENTS);
  assert.deepEqual(
    told.map(({ url, hosts, protocol, tlsMode }) => [url, hosts.join(), protocol, tlsMode]),
    [
      ["http://127.0.2.3:8080", "shop.test,api.test", "http", null],
      ["https://127.0.2.3:10443", "*", "https", "SIMPLE"],
      ["tls://127.0.2.3:9443", "db.test", "tls", "PASSTHROUGH"],
      ["tcp://127.0.2.3:9000", "*", "tcp", null],
    ],
  );
  const page = renderGateways(told);
  assert.match(
    page,
    /http:\/\/127\.0\.2\.3:8080 +none +shop\.test, api\.test +Gateway a\/front in a\/ingress/,
  );
  assert.match(page, /https:\/\/127\.0\.2\.3:10443 +SIMPLE/);
});

test("a gateway without a pod, and a mesh without gateways, have no addresses", () => {
  assert.deepEqual(gatewayAddresses(MESH, { ...ASSIGNMENTS, pods: [] }), []);
  assert.equal(renderGateways([]), "");
});
