/** Plaintext in ambient mode: what PeerAuthentication says, and where istiod loses a part of it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh } from "../../../src/model/mesh.ts";
import { plaintextRefusals } from "../../../src/policy/ambient/peer-conversion.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { meshOf, resource } from "../inbound-fixture.ts";
import { workloadIn } from "./ambient-fixture.ts";

type Mode = "STRICT" | "PERMISSIVE" | "DISABLE" | "UNSET";
type Ports = Readonly<Record<number, Mode>>;

const BASE = meshOf();
const SELECTOR = { matchLabels: { app: "httpbin" } };
const PORTS = [8080, 9000, 7000];

const moded = (mode: Mode | null): object => (mode === null ? {} : { mtls: { mode } });
const portLevel = (ports: Ports): object => ({
  portLevelMtls: Object.fromEntries(Object.entries(ports).map(([port, mode]) => [port, { mode }])),
});
const peer = (namespace: string, name: string, spec: object): Resource =>
  resource("PeerAuthentication", name, spec, { namespace });

const meshWith = (...policies: readonly Resource[]): Mesh => ({
  ...BASE,
  peerAuthentications: policies as Mesh["peerAuthentications"],
});

/** `port: policy` of each port whose plaintext is refused. */
function refused(mesh: Mesh, semantics: Semantics): readonly string[] {
  const refusals = plaintextRefusals(mesh, workloadIn(mesh), semantics);
  return PORTS.flatMap((port) => {
    const refusal = refusals.find(({ refuses }) => refuses(port));
    return refusal === undefined ? [] : [`${port}: ${refusal.policy.replace("PeerAuthentication ", "")}`];
  });
}

const portsOf = (told: readonly string[]): readonly number[] => told.map((line) => Number.parseInt(line, 10));

interface Levels {
  readonly root: Mode | null;
  readonly wide: Mode | null;
  readonly own: Mode | null;
  readonly ports: Ports;
}

const isSet = (mode: Mode | null | undefined): mode is Mode =>
  mode !== null && mode !== undefined && mode !== "UNSET";

/** As the documentation says: port, workload, namespace, mesh; the first that is set decides. */
const refusesByWord = ({ root, wide, own, ports }: Levels, port: number): boolean =>
  [ports[port], own, wide, root].find(isSet) === "STRICT";

/** Where istiod refuses more than is written: a DISABLE port of a workload that leaves its mode to others is no exception by itself. */
const isForgotten = (levels: Levels, port: number): boolean =>
  levels.ports[port] === "DISABLE" &&
  !isSet(levels.own) &&
  refusesByWord({ ...levels, ports: {} }, port) &&
  !Object.values(levels.ports).includes("PERMISSIVE");

/** The two ways in which istiod loses a part of it: a closed list. */
function isLost({ root, wide, own, ports }: Levels, port: number): boolean {
  if (root !== "STRICT" || isSet(wide)) return false;
  const modes = Object.values(ports);
  // A workload that is open has its STRICT port open, too, where the mesh is STRICT.
  if (own === "PERMISSIVE" || own === "DISABLE") return ports[port] === "STRICT";
  // A workload that leaves it to an UNSET namespace, with an exception for a port, has all ports open.
  return own !== "STRICT" && wide === "UNSET" && modes.includes("PERMISSIVE");
}

const MODES: readonly (Mode | null)[] = [null, "UNSET", "STRICT", "PERMISSIVE", "DISABLE"];
const PORT_LEVELS: readonly Ports[] = [
  {},
  { 8080: "STRICT" },
  { 8080: "PERMISSIVE" },
  { 8080: "UNSET" },
  { 8080: "DISABLE" },
  { 8080: "DISABLE", 9000: "PERMISSIVE" },
  { 8080: "DISABLE", 9000: "STRICT" },
  { 8080: "STRICT", 9000: "PERMISSIVE" },
  { 8080: "PERMISSIVE", 9000: "PERMISSIVE" },
  { 8080: "STRICT", 9000: "UNSET" },
  { 8080: "STRICT", 9000: "STRICT" },
];

const LEVELS: readonly Levels[] = MODES.flatMap((root) =>
  MODES.flatMap((wide) =>
    MODES.flatMap((own) => PORT_LEVELS.map((ports): Levels => ({ root, wide, own, ports }))),
  ),
);

const meshAt = ({ root, wide, own, ports }: Levels): Mesh =>
  meshWith(
    ...(root === null ? [] : [peer("istio-system", "root", moded(root))]),
    ...(wide === null ? [] : [peer("foo", "wide", moded(wide))]),
    peer("foo", "own", { selector: SELECTOR, ...moded(own), ...portLevel(ports) }),
  );

describe("at every combination of levels", () => {
  test("Istio refuses what is written to be refused, but for three closed exceptions", () => {
    for (const levels of LEVELS)
      assert.deepEqual(
        portsOf(refused(meshAt(levels), "istio")),
        PORTS.filter(
          (port) => (refusesByWord(levels, port) || isForgotten(levels, port)) && !isLost(levels, port),
        ),
        JSON.stringify(levels),
      );
  });

  test("strict semantics refuse all that is written, and what Istio refuses", () => {
    for (const levels of LEVELS)
      assert.deepEqual(
        portsOf(refused(meshAt(levels), "strict")),
        PORTS.filter((port) => refusesByWord(levels, port) || isForgotten(levels, port)),
        JSON.stringify(levels),
      );
  });
});

describe("which policy holds at a level, and is told", () => {
  const STRICT = { mtls: { mode: "STRICT" } };
  const OPEN = { mtls: { mode: "PERMISSIVE" } };
  const own = (name: string, spec: object): Resource => peer("foo", name, { selector: SELECTOR, ...spec });
  const everywhere = (policy: string): string[] => PORTS.map((port) => `${port}: ${policy}`);
  const at = (...ports: readonly number[]): string[] => ports.map((port) => `${port}: foo/own`);

  const CASES: readonly (readonly [
    why: string,
    policies: readonly Resource[],
    istio: readonly string[],
    strict?: readonly string[],
  ])[] = [
    ["none", [], []],
    ["another namespace's", [peer("bar", "p", STRICT)], []],
    ["another workload's", [peer("foo", "p", { selector: { matchLabels: { app: "x" } }, ...STRICT })], []],
    ["the mesh's", [peer("istio-system", "root", STRICT)], everywhere("istio-system/root")],
    [
      "the namespace's before the mesh's",
      [peer("istio-system", "root", STRICT), peer("foo", "wide", STRICT)],
      everywhere("foo/wide"),
    ],
    [
      "the namespace's that leaves it to the mesh's",
      [peer("istio-system", "root", STRICT), peer("foo", "wide", {})],
      everywhere("istio-system/root"),
    ],
    [
      "the workload's before all",
      [peer("istio-system", "root", STRICT), peer("foo", "wide", STRICT), own("own", STRICT)],
      everywhere("foo/own"),
    ],
    [
      "the workload's that leaves it to others",
      [peer("foo", "wide", STRICT), own("own", {})],
      everywhere("foo/wide"),
    ],
    [
      "the oldest of several of the namespace",
      [peer("foo", "first", STRICT), peer("foo", "second", OPEN)],
      everywhere("foo/first"),
    ],
    ["the oldest of several of the workload", [own("first", OPEN), own("second", STRICT)], []],
    [
      "the oldest of several of the mesh",
      [peer("istio-system", "first", OPEN), peer("istio-system", "second", STRICT)],
      [],
    ],
    ["one without a spec asks for nothing", [resource("PeerAuthentication", "p", undefined)], []],
    [
      "an empty selector of the namespace is none",
      [peer("foo", "wide", { selector: {}, ...STRICT })],
      everywhere("foo/wide"),
    ],
    [
      "nor are no labels",
      [peer("foo", "wide", { selector: { matchLabels: {} }, ...STRICT })],
      everywhere("foo/wide"),
    ],
    [
      "an empty selector of the root namespace is for its own pods",
      [peer("istio-system", "root", { selector: {}, ...STRICT })],
      [],
    ],
    [
      "and leaves the mesh's to the next",
      [peer("istio-system", "pods", { selector: {}, ...OPEN }), peer("istio-system", "root", STRICT)],
      everywhere("istio-system/root"),
    ],
    [
      "a selector of the root namespace selects nobody elsewhere",
      [peer("istio-system", "p", { selector: SELECTOR, ...STRICT })],
      [],
    ],
    [
      "ports without a selector are left out",
      [peer("foo", "wide", { portLevelMtls: { 8080: STRICT.mtls } })],
      [],
    ],
    [
      "the workload's that leaves it to others and is older than they are",
      [own("own", {}), peer("foo", "wide", STRICT)],
      everywhere("foo/wide"),
    ],
    [
      "the namespace's that leaves it to the mesh's and is older",
      [peer("foo", "wide", {}), peer("istio-system", "root", STRICT)],
      everywhere("istio-system/root"),
    ],
    [
      "a port without a mode is no exception",
      [own("own", { ...STRICT, portLevelMtls: { 8080: {}, 9000: OPEN.mtls } })],
      at(8080, 7000),
    ],
    [
      "another namespace's is not the mesh's",
      [peer("bar", "wide", STRICT), own("own", { portLevelMtls: { 8080: STRICT.mtls } })],
      at(8080),
    ],
    [
      "what is lost is told by who asks for it",
      [
        peer("istio-system", "root", STRICT),
        peer("foo", "wide", { mtls: { mode: "UNSET" } }),
        own("own", { portLevelMtls: { 8080: OPEN.mtls, 9000: STRICT.mtls } }),
      ],
      [],
      ["9000: foo/own", "7000: istio-system/root"],
    ],
    ["a port without a mode", [own("own", { portLevelMtls: { 8080: {}, 9000: STRICT.mtls } })], at(9000)],
    ["a STRICT port", [own("own", { portLevelMtls: { 8080: STRICT.mtls } })], at(8080)],
    [
      "all but the exception, told by the workload's own",
      [peer("foo", "wide", STRICT), own("own", { portLevelMtls: { 8080: OPEN.mtls } })],
      at(9000, 7000),
      at(9000, 7000),
    ],
    [
      "the exception of a STRICT workload",
      [own("own", { ...STRICT, portLevelMtls: { 8080: { mode: "DISABLE" } } })],
      at(9000, 7000),
    ],
    [
      "for ports an empty selector is not the namespace's: the STRICT one behind it is not seen",
      [peer("foo", "wide", { selector: {}, ...STRICT }), own("own", { portLevelMtls: { 8080: OPEN.mtls } })],
      [],
      ["9000: foo/wide", "7000: foo/wide"],
    ],
    [
      "for ports the older of the namespace's counts, the empty selector's apart",
      [
        peer("foo", "empty", { selector: {}, ...OPEN }),
        peer("foo", "wide", STRICT),
        own("own", { ...OPEN, portLevelMtls: { 8080: STRICT.mtls } }),
      ],
      at(8080),
    ],
  ];
  for (const [why, policies, istio, strict = istio] of CASES)
    test(why, () => {
      assert.deepEqual(refused(meshWith(...policies), "istio"), istio);
      assert.deepEqual(refused(meshWith(...policies), "strict"), strict);
    });

  test("in the root namespace its own policies are for its pods, with an empty selector, too", () => {
    for (const spec of [STRICT, { selector: {}, ...STRICT }]) {
      const mesh = meshWith(peer("istio-system", "root", spec));
      const workload = { ...workloadIn(mesh), namespace: "istio-system" };
      const by = (semantics: Semantics) =>
        plaintextRefusals(mesh, workload, semantics).map(({ policy, refuses }) => [policy, refuses(8080)]);
      const root = ["PeerAuthentication istio-system/root", true];
      assert.deepEqual(by("istio"), [root]);
      assert.deepEqual(by("strict"), [root, root]);
    }
  });
});
