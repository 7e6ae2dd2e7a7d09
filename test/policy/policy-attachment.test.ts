import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import { compileTransport } from "../../src/policy/peer-authentication.ts";
import { attachedPolicies } from "../../src/policy/policy-attachment.ts";
import { policiesFor } from "../../src/policy/policy-lookup.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resource } from "./inbound-fixture.ts";

const ROOT = "istio-system";
const GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name";
const GROUP = "gateway.networking.k8s.io";

function workload(given: Partial<Workload> = {}): Workload {
  return { namespace: "foo", labels: { app: "a", tier: "1" }, role: "application", ...given } as Workload;
}

const gateway = (given: Partial<Workload> = {}) =>
  workload({ role: "gateway", labels: { app: "a", [GATEWAY_LABEL]: "gw" }, ...given });
const waypoint = gateway({ role: "waypoint" });

function policy(spec: unknown, namespace = "foo", name = "p"): Resource {
  return resource("AuthorizationPolicy", name, spec, { namespace });
}

const selects = (matchLabels: Record<string, string>) => ({ selector: { matchLabels } });
const refers = (...targetRefs: object[]) => ({ targetRefs });
const GATEWAY_REF = { group: GROUP, kind: "Gateway", name: "gw" };
const CLASS_REF = { group: GROUP, kind: "GatewayClass", name: "istio-waypoint" };

/** What is asked of, whether a policy of foo is attached to foo's application, gateway and waypoint; of the root namespace likewise. */
const ATTACHED: readonly (readonly [string, unknown, string, string])[] = [
  ["no spec", undefined, "app gateway", "app gateway"],
  ["nothing", {}, "app gateway", "app gateway"],
  ["an empty list of targets", { targetRefs: [] }, "app gateway", "app gateway"],
  ["its labels", selects({ app: "a" }), "app gateway", "app gateway"],
  ["other labels", selects({ app: "b" }), "", ""],
  ["its gateway", refers(GATEWAY_REF), "gateway waypoint", ""],
  ["its gateway, by targetRef", { targetRef: GATEWAY_REF }, "gateway waypoint", ""],
  [
    "its gateway, beside other labels",
    { ...refers(GATEWAY_REF), ...selects({ app: "b" }) },
    "gateway waypoint",
    "",
  ],
  [
    "its gateway by targetRef, beside other labels",
    { targetRef: GATEWAY_REF, ...selects({ app: "b" }) },
    "gateway waypoint",
    "",
  ],
  ["one of several targets", refers({ ...GATEWAY_REF, name: "x" }, GATEWAY_REF), "gateway waypoint", ""],
  [
    "targets that take the place of a targetRef",
    { targetRef: GATEWAY_REF, ...refers(CLASS_REF) },
    "",
    "waypoint",
  ],
  ["its gateway in its namespace", refers({ ...GATEWAY_REF, namespace: "foo" }), "gateway waypoint", ""],
  ["its gateway in an empty namespace", refers({ ...GATEWAY_REF, namespace: "" }), "gateway waypoint", ""],
  ["a gateway of another namespace", refers({ ...GATEWAY_REF, namespace: "bar" }), "", ""],
  ["a gateway of the root namespace", refers({ ...GATEWAY_REF, namespace: ROOT }), "", ""],
  ["another gateway", refers({ ...GATEWAY_REF, name: "x" }), "", ""],
  ["a gateway of another group", refers({ ...GATEWAY_REF, group: "networking.istio.io" }), "", ""],
  ["a gateway of no group", refers({ kind: "Gateway", name: "gw" }), "", ""],
  ["another kind of its group", refers({ ...GATEWAY_REF, kind: "HTTPRoute" }), "", ""],
  ["a Service", refers({ group: "", kind: "Service", name: "gw" }), "", ""],
  ["the waypoints' class", refers(CLASS_REF), "", "waypoint"],
  ["another class", refers({ ...CLASS_REF, name: "istio" }), "", ""],
  ["a class of another group", refers({ ...CLASS_REF, group: "" }), "", ""],
];

for (const [what, spec, own, root] of ATTACHED)
  test(`a policy that names ${what} is attached in its namespace to [${own}], of the root namespace to [${root}]`, () => {
    const to = (namespace: string) =>
      Object.entries({ app: workload(), gateway: gateway(), waypoint })
        .filter(([, own]) => attachedPolicies([policy(spec, namespace)], own, ROOT).length === 1)
        .map(([name]) => name)
        .join(" ");
    assert.deepEqual([to("foo"), to(ROOT), to("bar")], [own, root, ""]);
  });

test("in the root namespace itself a gateway's policies are both", () => {
  const here = gateway({ namespace: ROOT });
  assert.equal(attachedPolicies([policy(refers(GATEWAY_REF), ROOT)], here, ROOT).length, 1);
});

test("policiesFor() keeps the order of the list, each policy once, whatever label found it", () => {
  const specs = [
    selects({ tier: "1", app: "a" }),
    {},
    selects({ app: "a" }),
    undefined,
    selects({ tier: "2" }),
  ];
  const list = ["foo", ROOT, "foo", "bar", ROOT].map((namespace, at) =>
    policy(specs[at], namespace, `p${at}`),
  );
  const names = (namespace: string, labels: Record<string, string>) =>
    policiesFor(list, { namespace, labels }, ROOT).map(({ name }) => name);
  assert.deepEqual(names("foo", { app: "a", tier: "1" }), ["p0", "p1", "p2"]);
  assert.deepEqual(names("foo", { tier: "1", app: "a" }), ["p0", "p1", "p2"]);
  assert.deepEqual(names("foo", { app: "a", tier: "2" }), ["p1", "p2", "p4"]);
  assert.deepEqual(names("foo", { tier: "1" }), ["p1"], "a selector's labels must all be there");
  assert.deepEqual(names("foo", {}), ["p1"]);
  assert.deepEqual(names("bar", { app: "a" }), ["p1", "p3"]);
  assert.deepEqual(names(ROOT, { tier: "2" }), ["p1", "p4"]);
  assert.deepEqual(names("none", {}), ["p1"]);
});

test("policiesFor() looks a list through once", () => {
  let looks = 0;
  const list = Object.assign([policy({})], {
    entries: () => {
      looks++;
      return Array.prototype.entries.call(list) as ArrayIterator<[number, Resource]>;
    },
  });
  const found = () => policiesFor(list, { namespace: "foo", labels: {} }, ROOT).length;
  assert.deepEqual([found(), found(), looks], [1, 1, 1]);
});

test("policiesFor(): a name is not mistaken for a namespace's and a label's", () => {
  const odd = [policy(selects({ b: "c" }), "a"), policy({}, "a b"), policy(selects({ "b c": "" }), "a")];
  const found = (namespace: string, labels: Record<string, string>) =>
    policiesFor(odd, { namespace, labels }, ROOT).map((own) => odd.indexOf(own));
  assert.deepEqual([found("a", { b: "c" }), found("a b", {}), found("a", { "b c": "" })], [[0], [1], [2]]);
  assert.deepEqual(found("abc", { b: "c" }), []);
});

interface Peer {
  readonly name: string;
  readonly namespace?: string;
  readonly selector?: Record<string, string>;
  readonly mode?: string;
  readonly ports?: Record<string, { mode?: string }>;
  readonly spec?: unknown;
}

/** @param peers by age, as the mesh lists them. */
function transport(peers: readonly Peer[], own = workload()) {
  const peerAuthentications = peers.map(({ name, namespace = "foo", selector, mode, ports, ...rest }) => {
    const spec = {
      ...(selector === undefined ? {} : selects(selector)),
      ...(mode === undefined ? {} : { mtls: { mode } }),
      ...(ports === undefined ? {} : { portLevelMtls: ports }),
    };
    return resource("PeerAuthentication", name, "spec" in rest ? rest.spec : spec, { namespace });
  });
  const mesh = { peerAuthentications, config: { rootNamespace: ROOT } } as unknown as Mesh;
  const { workload: rule, ports } = compileTransport(mesh, own);
  return [rule, ...[...ports].map(([port, { mode, policy }]) => ({ port, mode, policy }))];
}

const by = (mode: string, name: string, namespace = "foo") => ({
  mode,
  policy: `PeerAuthentication ${namespace}/${name}`,
});
const DEFAULT = { mode: "PERMISSIVE", policy: null };
const A = { app: "a" };
const mesh = (mode: string, name = "mesh"): Peer => ({ name, namespace: ROOT, mode });

/** Policies of foo where nothing else is said, oldest first; what holds for foo's workload, and its ports. */
const TRANSPORTS: readonly (readonly [string, readonly Peer[], readonly object[]])[] = [
  ["none", [], [DEFAULT]],
  ["the mesh's", [mesh("STRICT")], [by("STRICT", "mesh", ROOT)]],
  ["the mesh's oldest", [mesh("STRICT", "old"), mesh("DISABLE", "new")], [by("STRICT", "old", ROOT)]],
  ["the namespace's over the mesh's", [mesh("STRICT"), { name: "n", mode: "DISABLE" }], [by("DISABLE", "n")]],
  [
    "the namespace's oldest, also where it says nothing",
    [mesh("STRICT"), { name: "old" }, { name: "new", mode: "DISABLE" }],
    [by("STRICT", "mesh", ROOT)],
  ],
  [
    "the workload's over the namespace's",
    [
      { name: "n", mode: "DISABLE" },
      { name: "w", selector: A, mode: "STRICT" },
    ],
    [by("STRICT", "w")],
  ],
  [
    "the workload's, which is UNSET",
    [
      { name: "n", mode: "DISABLE" },
      { name: "w", selector: A, mode: "UNSET" },
    ],
    [by("DISABLE", "n")],
  ],
  [
    "the workload's without a mode",
    [mesh("STRICT"), { name: "w", selector: A }],
    [by("STRICT", "mesh", ROOT)],
  ],
  [
    "the workload's oldest",
    [
      { name: "old", selector: A, mode: "STRICT" },
      { name: "new", selector: { tier: "1" }, mode: "DISABLE" },
    ],
    [by("STRICT", "old")],
  ],
  ["another workload's", [{ name: "w", selector: { app: "b" }, mode: "STRICT" }], [DEFAULT]],
  [
    "a selector that is empty, which is the namespace's",
    [{ name: "w", selector: {}, mode: "STRICT", ports: { 80: { mode: "DISABLE" } } }],
    [by("STRICT", "w")],
  ],
  [
    "a selector in the root namespace",
    [{ name: "w", namespace: ROOT, selector: A, mode: "STRICT" }],
    [DEFAULT],
  ],
  ["another namespace's", [{ name: "n", namespace: "bar", mode: "STRICT" }], [DEFAULT]],
  ["one without a spec", [{ name: "n", spec: undefined }, mesh("STRICT")], [by("STRICT", "mesh", ROOT)]],
  [
    "a selector without labels",
    [{ name: "n", spec: { selector: {}, mtls: { mode: "STRICT" } } }],
    [by("STRICT", "n")],
  ],
  [
    "ports, each with its own mode or the workload's",
    [
      mesh("STRICT"),
      {
        name: "w",
        selector: A,
        mode: "DISABLE",
        ports: { 80: { mode: "PERMISSIVE" }, 81: { mode: "UNSET" }, 82: {}, 9999: { mode: "STRICT" } },
      },
    ],
    [
      by("DISABLE", "w"),
      { port: 80, ...by("PERMISSIVE", "w") },
      { port: 81, ...by("DISABLE", "w") },
      { port: 82, ...by("DISABLE", "w") },
      { port: 9999, ...by("STRICT", "w") },
    ],
  ],
  [
    "ports of a policy without a mode, which inherits",
    [mesh("STRICT"), { name: "w", selector: A, ports: { 80: { mode: "DISABLE" }, 81: {} } }],
    [
      by("STRICT", "mesh", ROOT),
      { port: 80, ...by("DISABLE", "w") },
      { port: 81, ...by("STRICT", "mesh", ROOT) },
    ],
  ],
  [
    "ports without a selector, which count for nobody",
    [{ name: "n", mode: "STRICT", ports: { 80: { mode: "DISABLE" } } }],
    [by("STRICT", "n")],
  ],
];

for (const [what, peers, expected] of TRANSPORTS)
  test(`PeerAuthentication: ${what}`, () => {
    assert.deepEqual(transport(peers), expected);
  });

test("PeerAuthentication: in the root namespace, the mesh's is the namespace's, and no selector counts", () => {
  const own = workload({ namespace: ROOT });
  assert.deepEqual(transport([mesh("STRICT")], own), [by("STRICT", "mesh", ROOT)]);
  const selected: Peer = {
    name: "w",
    namespace: ROOT,
    selector: A,
    mode: "DISABLE",
    ports: { 80: { mode: "DISABLE" } },
  };
  assert.deepEqual(transport([mesh("STRICT"), selected], own), [by("STRICT", "mesh", ROOT)]);
});
