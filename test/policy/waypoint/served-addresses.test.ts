/** Which addresses a waypoint serves: those of its own services and workloads, and nobody else's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh, Workload } from "../../../src/model/mesh.ts";
import {
  canonicalAddress,
  type ServedAddresses,
  servedAddresses,
} from "../../../src/policy/waypoint/served-addresses.ts";
import { asWaypoint } from "../../../src/policy/waypoint/waypoints.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { namespaceText, podText, resourceText } from "../path/journey-text.ts";
import {
  AMBIENT,
  ambientPodText,
  boundServiceText,
  PORTS,
  shopText,
  USES,
  waypointPodText,
  waypointText,
} from "./waypoint-mesh.ts";

function workloadOf(mesh: Mesh, key: string): Workload {
  const found = mesh.workloads.find((workload) => workload.key === key);
  assert.ok(found, key);
  return found;
}

function servedBy(text: string, key = "m/wp"): ServedAddresses {
  const mesh = meshOf(text);
  const waypoint = asWaypoint(mesh, workloadOf(mesh, key));
  assert.ok(waypoint);
  return servedAddresses(mesh, waypoint, ({ addresses }) => addresses);
}

function names(served: ServedAddresses): Record<string, string> {
  return Object.fromEntries(
    [...served].map(([address, own]) => [
      address,
      own.kind === "service" ? own.service.hostname : own.workload.key,
    ]),
  );
}

const SERVICE = { "10.96.0.1": "s.m.svc.cluster.local" };

test("a waypoint for services serves their addresses, and no pod's", () => {
  assert.deepEqual(names(servedBy(shopText())), SERVICE);
});

test("a waypoint for workloads serves pods' addresses, and no service's", () => {
  const text = shopText().replace(
    waypointText(),
    waypointText({ labels: { "istio.io/waypoint-for": "workload" } }),
  );
  assert.deepEqual(names(servedBy(text)), { "10.1.0.1": "m/c", "10.1.0.2": "m/s" });
});

test("a waypoint for all serves both, for none neither", () => {
  const as = (traffic: string) =>
    shopText().replace(waypointText(), waypointText({ labels: { "istio.io/waypoint-for": traffic } }));
  assert.deepEqual(names(servedBy(as("all"))), { ...SERVICE, "10.1.0.1": "m/c", "10.1.0.2": "m/s" });
  assert.deepEqual(names(servedBy(as("none"))), {});
});

test("a waypoint serves no service that is another waypoint's, or nobody's", () => {
  const elsewhere = [
    namespaceText("o", { ...AMBIENT, "istio.io/use-waypoint": "other" }),
    resourceText("v1", "Service", "o", "s", { clusterIP: "10.96.0.2", selector: { app: "s" }, ports: PORTS }),
    waypointText({ namespace: "o", name: "other" }),
    waypointPodText("o", "other", "10.1.1.9"),
    boundServiceText({ "istio.io/use-waypoint": "none" }, { clusterIP: "10.96.0.3" }, "m", "free"),
  ].join("");
  const text = shopText(USES, elsewhere);
  assert.deepEqual(names(servedBy(text)), SERVICE);
  assert.deepEqual(names(servedBy(text, "o/other")), { "10.96.0.2": "s.o.svc.cluster.local" });
});

test("an address that two services claim is the first one's alone", () => {
  const entry = resourceText(
    "networking.istio.io/v1",
    "ServiceEntry",
    "m",
    "late",
    {
      hosts: ["late.example"],
      addresses: ["10.96.0.1", "10.96.0.7"],
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      resolution: "STATIC",
      endpoints: [{ address: "10.1.0.2" }],
    },
    USES,
  );
  assert.deepEqual(names(servedBy(shopText(USES, entry))), { ...SERVICE, "10.96.0.7": "late.example" });
});

test("an address that is a pod's is the pod's, whatever service claims it", () => {
  const taken = boundServiceText({}, { clusterIP: "10.1.0.2" }, "m", "s");
  assert.deepEqual(names(servedBy(shopText().replace(boundServiceText(), taken))), {});
});

test("pods on their node's network have no address of their own", () => {
  const text = shopText(
    USES,
    ambientPodText("m", "h", "10.1.0.5").replace('"containers"', '"hostNetwork":true,"containers"'),
  ).replace(waypointText(), waypointText({ labels: { "istio.io/waypoint-for": "workload" } }));
  assert.deepEqual(names(servedBy(text)), { "10.1.0.1": "m/c", "10.1.0.2": "m/s" });
});

test("one address is found however it is written", () => {
  assert.equal(canonicalAddress("fd00::1"), canonicalAddress("FD00:0:0:0:0:0:0:1"));
  assert.equal(canonicalAddress("::ffff:10.0.0.1"), "10.0.0.1");
  assert.equal(canonicalAddress("s.m.svc.cluster.local"), undefined);
  assert.equal(canonicalAddress("10.0.0.0/24"), undefined);
});

test("a pod is a waypoint by its Gateway, whoever deployed it; a pod of another kind of Gateway is none", () => {
  const byHand = waypointPodText().replace('"gateway.istio.io/managed":"istio.io-mesh-controller",', "");
  const mesh = meshOf(shopText().replace(waypointPodText(), byHand));
  assert.equal(asWaypoint(mesh, workloadOf(mesh, "m/wp"))?.role, "waypoint");
  const ingress = meshOf(
    shopText()
      .replace(waypointPodText(), byHand)
      .replace(waypointText(), waypointText({ className: "istio" })),
  );
  assert.equal(asWaypoint(ingress, workloadOf(ingress, "m/wp")), undefined);
  assert.equal(asWaypoint(mesh, workloadOf(mesh, "m/s")), undefined);
});

test("a waypoint whose Gateway is gone is still one, and serves nothing", () => {
  const text = shopText().replace(waypointText(), "");
  assert.deepEqual(names(servedBy(text)), {});
});

test("a plain pod's own label does not make it served by a waypoint that is for services", () => {
  const bare = podText("m", "bare", {
    ip: "10.1.0.8",
    labels: { "istio.io/use-waypoint": "wp", "sidecar.istio.io/inject": "false" },
  });
  assert.deepEqual(names(servedBy(shopText(USES, bare))), SERVICE);
});
