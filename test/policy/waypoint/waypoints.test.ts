/**
 * Which Gateways are waypoints, and whose.
 * @see https://istio.io/latest/docs/ambient/usage/waypoint/ and pilot/pkg/serviceregistry/ambient/waypoints.go of istio/istio
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh, Service } from "../../../src/model/mesh.ts";
import {
  ingressUsesWaypoint,
  isWaypointClass,
  servicesOfWaypoint,
  type WaypointBinding,
  waypointOfService,
  waypointOfWorkload,
} from "../../../src/policy/waypoint/waypoints.ts";
import { meshOf, workloadOf } from "../outbound/mesh-of.ts";
import { gatewayText, namespaceText, resourceText } from "../path/journey-text.ts";
import {
  AMBIENT,
  ambientPodText,
  boundServiceText,
  USES,
  waypointPodText,
  waypointText,
} from "./waypoint-mesh.ts";

type Labels = Readonly<Record<string, string>>;

function serviceOf(mesh: Mesh, name = "s"): Service {
  return mesh.services.find((service) => service.name === name) ?? assert.fail(`no service ${name}`);
}

/** The waypoint's key; `none` and `unknown`, where a reason is told with it. */
function told(binding: WaypointBinding): string {
  if (binding.kind === "bound") return binding.waypoint.key;
  return binding.kind === "none" ? (binding.why ?? "none") : `unknown: ${binding.why}`;
}

/** Namespace m with one service, one waypoint and its pod. */
function oneService(
  service: string,
  { namespace = USES as Labels, gateway = waypointText(), pods = waypointPodText(), more = "" } = {},
): Mesh {
  const all = [namespaceText("m", { ...AMBIENT, ...namespace }), ambientPodText("m", "s", "10.1.0.2")];
  return meshOf([...all, service, gateway, pods, more].join(""));
}

function bindingOf(service: string, options: Parameters<typeof oneService>[1] = {}): string {
  const mesh = oneService(service, options);
  return told(waypointOfService(mesh, mesh.services[0] ?? assert.fail("no service")));
}

test("istio.io/ingress-use-waypoint is read as Go reads a truth, the service's own before its namespace's", () => {
  const uses = (own: Labels, ofNamespace: Labels = {}): boolean => {
    const mesh = oneService(boundServiceText(own), { namespace: ofNamespace });
    return ingressUsesWaypoint(mesh, serviceOf(mesh));
  };
  const label = (value: string): Labels => ({ "istio.io/ingress-use-waypoint": value });
  for (const yes of ["1", "t", "T", "TRUE", "true", "True"]) assert.equal(uses(label(yes)), true, yes);
  for (const no of ["0", "f", "false", "yes", "on", "", "tRUE"]) assert.equal(uses(label(no)), false, no);
  assert.equal(uses({}), false);
  assert.equal(uses({}, label("true")), true);
  assert.equal(uses(label("false"), label("true")), false);
  const mesh = meshOf(boundServiceText({}, {}, "undeclared"));
  assert.equal(ingressUsesWaypoint(mesh, serviceOf(mesh)), false);
});

test("a waypoint has listeners for the services that it stands before, not for another's and not for unbound ones", () => {
  const service = (name: string, labels: Labels): string => boundServiceText(labels, {}, "m", name);
  const mesh = oneService(service("mine", {}), {
    pods: waypointPodText() + waypointPodText("m", "wp2", "10.1.0.8"),
    more:
      service("theirs", { "istio.io/use-waypoint": "wp2" }) +
      service("nobodys", { "istio.io/use-waypoint": "none" }) +
      waypointText({ name: "wp2" }),
  });
  const names = (key: string): string[] =>
    servicesOfWaypoint(mesh, workloadOf(mesh, key)).map(({ name }) => name);
  assert.deepEqual(names("m/wp"), ["mine"]);
  assert.deepEqual(names("m/wp2"), ["theirs"]);
  assert.deepEqual(names("m/s"), [], "no waypoint's pod");
});

test("a service that clients cannot dial by an address of its own has no waypoint", () => {
  assert.equal(bindingOf(boundServiceText()), "m/wp");
  assert.equal(bindingOf(boundServiceText({}, { clusterIP: "None" })), "none");
  assert.equal(bindingOf(boundServiceText({}, { type: "ExternalName", externalName: "a.example" })), "none");
});

test("a ServiceEntry is dialled by its addresses, or by one that istiod gives it, unless it asks for none or is of resolution NONE", () => {
  const entry = (more: object, labels: Labels = {}): string =>
    resourceText(
      "networking.istio.io/v1",
      "ServiceEntry",
      "m",
      "e",
      { hosts: ["e.example"], ports: [{ number: 80, name: "http", protocol: "HTTP" }], ...more },
      { ...USES, ...labels },
    );
  const allocate = (value: string): Labels => ({ "networking.istio.io/enable-autoallocate-ip": value });
  const addresses = ["240.0.0.7"];
  assert.equal(bindingOf(entry({ resolution: "DNS" })), "m/wp");
  assert.equal(bindingOf(entry({ resolution: "NONE" })), "none");
  assert.equal(bindingOf(entry({ resolution: "NONE", addresses })), "m/wp");
  for (const [value, expected] of [
    ["false", "none"],
    ["False", "none"],
    ["true", "m/wp"],
    ["", "m/wp"],
  ] as const)
    assert.equal(bindingOf(entry({ resolution: "STATIC" }, allocate(value))), expected, value);
  assert.equal(bindingOf(entry({ resolution: "STATIC", addresses }, allocate("false"))), "m/wp");
});

test("the Service of a waypoint or of an east-west gateway has no waypoint itself; an ingress gateway's may", () => {
  const managed = (by: string): Labels => ({ "gateway.istio.io/managed": by });
  assert.equal(bindingOf(boundServiceText(managed("istio.io-mesh-controller"))), "none");
  assert.equal(bindingOf(boundServiceText(managed("istio.io-eastwest-controller"))), "none");
  assert.equal(bindingOf(boundServiceText(managed("istio.io-gateway-controller"))), "m/wp");
});

test("`none` and no label at all are no binding, and nothing is said of it", () => {
  for (const namespace of [{}, { "istio.io/use-waypoint": "none" }]) {
    const mesh = oneService(boundServiceText(), { namespace });
    assert.deepEqual(waypointOfService(mesh, serviceOf(mesh)), { kind: "none" });
  }
  const undeclared = meshOf(boundServiceText({}, {}, "undeclared"));
  assert.deepEqual(waypointOfService(undeclared, serviceOf(undeclared)), { kind: "none" });
});

test("a canary that shares the traffic leaves open which waypoint takes a request; of services alone", () => {
  const canary = (name: string): Labels => ({ ...USES, "istio.io/use-waypoint-canary": name });
  assert.match(bindingOf(boundServiceText(canary("wp2"))), /^unknown: waypoint m\/wp shares its traffic/);
  assert.match(bindingOf(boundServiceText(), { namespace: canary("wp2") }), /^unknown: .*canary/);
  for (const none of ["", "none"]) assert.equal(bindingOf(boundServiceText(canary(none))), "m/wp");
  const all = waypointText({ labels: { "istio.io/waypoint-for": "all" } });
  const mesh = oneService(boundServiceText(), { namespace: canary("wp2"), gateway: all });
  assert.equal(told(waypointOfWorkload(mesh, workloadOf(mesh, "m/s"))), "m/wp");
});

test("a waypoint's own pods have none, whatever their namespace says", () => {
  const all = waypointText({ labels: { "istio.io/waypoint-for": "all" } });
  const mesh = oneService(boundServiceText(), { gateway: all });
  assert.deepEqual(waypointOfWorkload(mesh, workloadOf(mesh, "m/wp")), { kind: "none" });
  assert.equal(told(waypointOfWorkload(mesh, workloadOf(mesh, "m/s"))), "m/wp");
});

test("a waypoint without pods in the resources has no identity that is known: unknown", () => {
  assert.match(bindingOf(boundServiceText(), { pods: "" }), /^unknown: waypoint m\/wp has no pods/);
  assert.match(
    bindingOf(boundServiceText(), { pods: waypointPodText("k") }),
    /has no pods/,
    "those of another namespace's Gateway of the name are not its own",
  );
});

test("its proxies are the pods that are labelled for its Gateway: the first stands for all, and is a waypoint", () => {
  const pods =
    waypointPodText() + waypointPodText().replace('"name":"wp","namespace"', '"name":"wp-b","namespace"');
  const mesh = oneService(boundServiceText(), { pods });
  const binding = waypointOfService(mesh, serviceOf(mesh));
  assert.ok(binding.kind === "bound");
  assert.equal(binding.waypoint.workload?.key, "m/wp");
  assert.equal(binding.waypoint.workload?.role, "waypoint");
  const unmanaged = waypointPodText().replace('"gateway.istio.io/managed":"istio.io-mesh-controller",', "");
  const other = oneService(boundServiceText(), { pods: unmanaged });
  const own = waypointOfService(other, serviceOf(other));
  assert.ok(own.kind === "bound");
  assert.deepEqual([own.waypoint.workload?.role, own.waypoint.workload?.key], ["waypoint", "m/wp"]);
});

function classText(
  name: string,
  controllerName: string,
  labels: Labels = {},
  group = "gateway.networking.k8s.io/v1",
): string {
  return resourceText(group, "GatewayClass", "", name, { controllerName }, labels);
}

test("a GatewayClass makes waypoints if its controller is Istio's mesh controller; undeclared, if its name is istio-waypoint", () => {
  const isOne = (className: string, classes = ""): boolean =>
    isWaypointClass(meshOf(`${classes}${namespaceText("m", {})}`).resources, className);
  const MESH = "istio.io/mesh-controller";
  const OTHER = "example.com/controller";
  assert.equal(isOne("istio-waypoint"), true);
  assert.equal(isOne("mine"), false);
  assert.equal(isOne("mine", classText("mine", MESH)), true);
  assert.equal(isOne("mine", classText("mine", OTHER)), false);
  assert.equal(isOne("istio-waypoint", classText("istio-waypoint", OTHER)), false);
  assert.equal(isOne("mine", classText("other", MESH)), false);
  assert.equal(isOne("istio-waypoint", classText("other", OTHER)), true);
  assert.equal(isOne("mine", classText("mine", MESH, {}, "example.com/v1")), false, "of another group");
  const notAClass = resourceText("gateway.networking.k8s.io/v1", "Gateway", "m", "mine", {
    controllerName: MESH,
  });
  assert.equal(isOne("mine", notAClass), false);
  const foreign = waypointText({ className: "mine" });
  assert.match(bindingOf(boundServiceText(), { gateway: foreign }), /^unknown: .*of class `mine`/);
  const more = classText("mine", MESH);
  assert.equal(bindingOf(boundServiceText(), { gateway: foreign, more }), "m/wp");
});

test("istio.io/waypoint-for of the Gateway's own class counts, of another class or of another kind does not", () => {
  const workload = { "istio.io/waypoint-for": "workload" };
  const more = (name: string, kind = "GatewayClass"): string =>
    classText(name, "istio.io/mesh-controller", workload).replace(
      '"kind":"GatewayClass"',
      `"kind":"${kind}"`,
    );
  assert.match(
    bindingOf(boundServiceText(), { more: more("istio-waypoint") }),
    /is for traffic to workloads/,
  );
  assert.equal(bindingOf(boundServiceText(), { more: more("other") }), "m/wp");
  assert.equal(bindingOf(boundServiceText(), { more: more("istio-waypoint", "HTTPRoute") }), "m/wp");
});

test("a Gateway that runs and has no address is not ready; one that is only written is taken to come up", () => {
  const ready = (status: unknown): string =>
    bindingOf(boundServiceText(), { gateway: waypointText({ status: status as object }) });
  const missing = /m\/wp is not there, or not ready/;
  assert.match(ready({ addresses: [] }), missing);
  assert.match(ready({ addresses: "10.0.0.1" }), missing);
  assert.match(ready({}), missing);
  assert.equal(ready({ addresses: [{ value: "10.0.0.1" }] }), "m/wp");
  for (const none of [null, "text"]) assert.equal(ready(none), "m/wp");
});

test("a Gateway of Istio's own API is no waypoint", () => {
  const gateway = gatewayText("m", "wp", { gatewayClassName: "istio-waypoint", servers: [] });
  assert.match(bindingOf(boundServiceText(), { gateway }), /is not there/);
  const other = waypointText().replace('"kind":"Gateway"', '"kind":"XGateway"');
  assert.match(bindingOf(boundServiceText(), { gateway: other }), /is not there/);
});

test("other namespaces are let in by the allowedRoutes of the HBONE listener on 15008 alone; without any by nobody's", () => {
  const namespace = { ...USES, "istio.io/use-waypoint-namespace": "w" };
  const all = { namespaces: { from: "All" } };
  const bound = (listeners: unknown, ofNamespace: string = namespaceText("m", namespace)): string => {
    const [text, metadata] = ["gateway.networking.k8s.io/v1", { name: "wp", namespace: "w" }];
    const spec = { gatewayClassName: "istio-waypoint", ...(listeners === undefined ? {} : { listeners }) };
    const gateway = `---\n${JSON.stringify({ apiVersion: text, kind: "Gateway", metadata, spec })}\n`;
    const mesh = meshOf([ofNamespace, boundServiceText(namespace), gateway, waypointPodText("w")].join(""));
    return told(waypointOfService(mesh, serviceOf(mesh)));
  };
  const listener = (more: object): object => ({ name: "mesh", port: 15008, protocol: "HBONE", ...more });
  const refused = /takes nothing of namespace m/;
  assert.equal(bound([listener({ allowedRoutes: all })]), "w/wp");
  assert.match(bound([listener({})]), refused);
  assert.match(bound([listener({ allowedRoutes: {} })]), refused);
  assert.match(bound([listener({ port: 15009, allowedRoutes: all }), listener({})]), refused);
  assert.match(bound([listener({ protocol: "HTTP", allowedRoutes: all }), listener({})]), refused);
  assert.match(bound([]), refused);
  assert.match(bound(undefined), refused);
  const same = { namespaces: { from: "Same" } };
  assert.match(bound([listener({ allowedRoutes: same })]), refused);
  const selector = (matchLabels: Labels): object => ({
    namespaces: { from: "Selector", selector: { matchLabels } },
  });
  assert.match(bound([listener({ allowedRoutes: selector({ team: "x" }) })], ""), refused);
});
