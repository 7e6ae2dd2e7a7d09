/** Whom policies let in, as blast counts it, against the map's own analysis, `can`, and a slow closure. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { bitsIn, countBits } from "../../../src/analysis/blast/bits.ts";
import { componentsOfMesh } from "../../../src/analysis/blast/holdings.ts";
import { BlastModel } from "../../../src/analysis/blast/radius.ts";
import { blastReport, namesIn } from "../../../src/analysis/blast/report.ts";
import { accessMap } from "../../../src/analysis/map/access-map.ts";
import { can, loadMesh } from "../../../src/index.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";

const EXAMPLES = resolve(import.meta.dirname, "../../../examples");
const SEED = 20_261_122;
const RUNS = Number(process.env.ANALYSIS_RUNS ?? 25);

test("at each sidecar those identities are let in that the map lets in, at the same ports", async () => {
  for (const name of ["payroll", "egress", "verify", "tighten", "compromise"]) {
    const { mesh } = await loadMesh(resolve(EXAMPLES, name));
    compareWithMap(mesh, name);
  }
});

function compareWithMap(mesh: Mesh, name: string): void {
  const { entries } = new BlastModel(mesh, "istio");
  const lines = [...accessMap(mesh, { semantics: "istio" })].filter(({ access, source, destination }) =>
    [access, source, destination].every((part) => part !== null && part !== undefined),
  );
  const places = new Map(mesh.workloads.map((workload, at) => [workload, at]));
  let compared = 0;
  for (const { access, source, destination } of lines)
    for (const from of source?.workloads ?? [])
      for (const to of destination?.workloads ?? []) {
        if (to.dataplane !== "sidecar" || from.dataplane !== "sidecar" || to.role !== "application") continue;
        for (const at of entries.byTarget.get(places.get(to) ?? -1) ?? []) {
          const entry = entries.all[at];
          if (entry?.way !== "direct") continue;
          const isLet = (access ?? []).some(({ ports }) => isIn(ports, entry.port));
          // The map shows what its proxy sends; a network policy may close more than the server does.
          if (isLet)
            assert.ok(
              entries.lets(at, from.spiffeId.slice(9)),
              `${name}: ${from.key} to ${to.key}:${entry.port}`,
            );
          compared++;
        }
      }
  assert.ok(compared > 0 || name !== "compromise", name);
}

function isIn(ports: readonly number[], port: number): boolean {
  return ports.some((first, at) => at % 2 === 0 && port >= first && port <= (ports[at + 1] ?? 0));
}

test("every step that shows a request is let through by can, and shows the identity that the step says", async () => {
  for (const name of ["compromise", "ambient", "payroll"]) {
    const { mesh } = await loadMesh(resolve(EXAMPLES, name));
    const model = new BlastModel(mesh, "istio");
    for (const component of componentsOfMesh(model.graph)) {
      const { reaches, further } = await blastReport(model, component, { semantics: "istio", witnesses: 50 });
      for (const step of [...reaches, ...further]) {
        if (step.witness === undefined) continue;
        const [decision] = await can(mesh, [step.witness]);
        assert.equal(decision?.allowed, true, `${component}: ${JSON.stringify(step)}`);
      }
    }
  }
});

test("who may take policies away is let in where they are taken away, also from an ambient pod, and nowhere else", () => {
  const rights = (namespace: string): readonly Resource[] => [
    object("rbac.authorization.k8s.io/v1", "Role", namespace, "own", {
      rules: [{ apiGroups: ["security.istio.io"], resources: ["authorizationpolicies"], verbs: ["delete"] }],
    }),
    object("rbac.authorization.k8s.io/v1", "RoleBinding", namespace, "own", {
      subjects: [{ kind: "ServiceAccount", name: "thief", namespace: "a" }],
      roleRef: { kind: "Role", name: "own" },
    }),
  ];
  for (const mode of [{ "istio-injection": "enabled" }, { "istio.io/dataplane-mode": "ambient" }]) {
    const mesh = buildMesh([
      ...["a", "b"].flatMap((name) => [
        object("v1", "Namespace", "", name, { labels: mode }),
        object("security.istio.io/v1", "PeerAuthentication", name, "default", {
          spec: { mtls: { mode: "STRICT" } },
        }),
        ...["thief", "victim"].map((app) =>
          object("v1", "Pod", name, app, {
            labels: { app },
            spec: {
              serviceAccountName: app,
              containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }],
            },
          }),
        ),
        object("security.istio.io/v1", "AuthorizationPolicy", name, "nobody", { spec: {} }),
      ]),
      ...rights("b"),
    ]);
    const model = new BlastModel(mesh, "strict");
    const { reached } = model.radiusOf("workload/a/thief");
    assert.deepEqual(namesIn(model, reached), ["b/thief", "b/victim"], JSON.stringify(mode));
    assert.deepEqual(namesIn(model, model.radiusOf("workload/a/victim").reached), []);
  }
});

interface Drawn {
  readonly count: number;
  /** Who lets whom in, by number. */
  readonly allows: readonly (readonly [from: number, to: number])[];
  /** Accounts: workloads may share one. */
  readonly accounts: readonly number[];
  /** Who is closed by network policies but to one. */
  readonly isolated: readonly (readonly [to: number, from: number])[];
}

const DRAWN: fc.Arbitrary<Drawn> = fc.integer({ min: 2, max: 7 }).chain((count) => {
  const one = fc.integer({ min: 0, max: count - 1 });
  return fc.record({
    count: fc.constant(count),
    allows: fc.array(fc.tuple(one, one), { maxLength: 12 }),
    accounts: fc.array(one, { minLength: count, maxLength: count }),
    isolated: fc.array(fc.tuple(one, one), { maxLength: 3 }),
  });
});

test("controls, one hop and transitively are those of a slow closure over keys and places, on random meshes", () => {
  fc.assert(
    fc.property(DRAWN, (drawn) => {
      const model = new BlastModel(meshOf(drawn), "istio");
      for (let start = 0; start < drawn.count; start++) {
        const { controlled, reached, further } = model.radiusOf(`workload/ns/w${start}`);
        const slow = slowRadius(drawn, start);
        const found = [controlled, reached, further].map((bits) => namesIn(model, bits));
        assert.deepEqual(found, slow, `from w${start}`);
        assert.equal(countBits(controlled), [...bitsIn(controlled)].length);
      }
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

function meshOf({ count, allows, accounts, isolated }: Drawn): Mesh {
  const made: Resource[] = [
    object("v1", "Namespace", "", "ns", { labels: { "istio-injection": "enabled" } }),
    object("security.istio.io/v1", "PeerAuthentication", "ns", "default", {
      spec: { mtls: { mode: "STRICT" } },
    }),
  ];
  for (let at = 0; at < count; at++) {
    const principals = allows.flatMap(([from, to]) =>
      to === at ? [`cluster.local/ns/ns/sa/a${accounts[from] ?? 0}`] : [],
    );
    made.push(
      object("v1", "Pod", "ns", `w${at}`, {
        labels: { app: `w${at}` },
        spec: {
          serviceAccountName: `a${accounts[at] ?? 0}`,
          automountServiceAccountToken: false,
          containers: [{ name: "c", image: "i", ports: [{ containerPort: 8080 }] }],
        },
      }),
      object("security.istio.io/v1", "AuthorizationPolicy", "ns", `w${at}`, {
        spec: {
          selector: { matchLabels: { app: `w${at}` } },
          ...(principals.length === 0 ? {} : { rules: [{ from: [{ source: { principals } }] }] }),
        },
      }),
    );
  }
  for (const [index, [to, from]] of isolated.entries())
    made.push(
      object("networking.k8s.io/v1", "NetworkPolicy", "ns", `n${index}`, {
        spec: {
          podSelector: { matchLabels: { app: `w${to}` } },
          policyTypes: ["Ingress"],
          ingress: [{ from: [{ podSelector: { matchLabels: { app: `w${from}` } } }] }],
        },
      }),
    );
  return buildMesh(made);
}

function object(apiVersion: string, kind: string, namespace: string, name: string, rest: object): Resource {
  const { labels, ...body } = rest as { labels?: object };
  const metadata = {
    name,
    ...(namespace === "" ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels }),
  };
  return resourceFromJson({ apiVersion, kind, metadata, ...body }, { file: "test", createdAt: 0 });
}

/** From every place that is held, with every key that is held, until nothing new comes. */
function slowRadius(drawn: Drawn, start: number): readonly (readonly string[])[] {
  const { accounts } = drawn;
  const all = Array.from({ length: drawn.count }, (_, at) => at);
  const actsAs = (held: ReadonlySet<number>): ReadonlySet<number> =>
    new Set(all.filter((at) => [...held].some((own) => accounts[own] === accounts[at])));
  const open = (held: ReadonlySet<number>): readonly number[] =>
    all.filter(
      (to) =>
        [...held].some((from) => connects(drawn, from, to)) && [...held].some((own) => lets(drawn, own, to)),
    );
  const controlled = actsAs(new Set([start]));
  const reached = new Set(open(new Set([start])).filter((at) => !controlled.has(at)));
  const held = new Set([start]);
  for (let before = -1; before !== held.size; ) {
    before = held.size;
    for (const at of open(held)) held.add(at);
  }
  const further = [...actsAs(held)].filter((at) => !controlled.has(at) && !reached.has(at));
  return [[...controlled], [...reached], further].map((list) => list.map((at) => `ns/w${at}`).sort());
}

function lets({ allows, accounts }: Drawn, own: number, to: number): boolean {
  return allows.some(([from, at]) => at === to && accounts[from] === accounts[own]);
}

function connects({ isolated }: Drawn, from: number, to: number): boolean {
  const own = isolated.filter(([at]) => at === to);
  return from === to || own.length === 0 || own.some(([, only]) => only === from);
}
