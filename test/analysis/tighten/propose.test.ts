import assert from "node:assert/strict";
import { test } from "node:test";
import { diffAccess } from "../../../src/analysis/diff/diff-access.ts";
import { EvidenceSpan } from "../../../src/analysis/tighten/evidence-span.ts";
import { holesOf } from "../../../src/analysis/tighten/holes.ts";
import { IdGaps } from "../../../src/analysis/tighten/id-gaps.ts";
import { reportOf } from "../../../src/analysis/tighten/report.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { AuthorizationSpec } from "../../../src/policy/authorization-spec.ts";
import { resourceName } from "../../../src/resources/resource.ts";
import { authorization, meshOf, resource } from "../../policy/inbound-fixture.ts";
import { flow, pod, type Tightened, tighten } from "./tighten-fixture.ts";

const ADMIN = "cluster.local/ns/bar/sa/admin";
const SLEEP = "cluster.local/ns/foo/sa/sleep";

function specs({ proposal }: Tightened): Readonly<Record<string, AuthorizationSpec>> {
  return Object.fromEntries(
    proposal.mesh.authorizationPolicies.map((policy) => [
      resourceName(policy),
      policy.spec as AuthorizationSpec,
    ]),
  );
}

test("where nothing is refused today, the policy is who came, by what methods and paths, at which port", async () => {
  const mesh = meshOf(pod("foo", "sleep"), pod("bar", "admin"));
  const flows = [
    ...Array.from({ length: 9 }, (_, at) => flow(`/orders/${at}?x=${at}`)),
    flow("/orders", { method: "POST" }),
    flow("/orders", { method: "POST", principal: ADMIN }),
    flow(null, { port: 9000 }),
  ];
  const tightened = await tighten(mesh, flows);
  assert.deepEqual(specs(tightened), {
    "AuthorizationPolicy foo/httpbin-as-seen": {
      selector: { matchLabels: { app: "httpbin" } },
      rules: [
        {
          from: [{ source: { principals: [ADMIN] } }],
          to: [{ operation: { methods: ["POST"], paths: ["/orders"], ports: ["8080"] } }],
        },
        {
          from: [{ source: { principals: [SLEEP] } }],
          to: [
            { operation: { methods: ["POST"], paths: ["/orders"], ports: ["8080"] } },
            { operation: { methods: ["GET"], paths: ["/orders/{*}"], ports: ["8080"] } },
          ],
        },
        { from: [{ source: { principals: [SLEEP] } }], to: [{ operation: { ports: ["9000"] } }] },
      ],
    },
  });
  assert.deepEqual(tightened.proposal.servers[0]?.proof, { kind: "proven" });
  assert.deepEqual(tightened.replay, { records: 12, uncertain: 0, decided: 12, refused: [] });
});

test("conditions that no record tells of stay as they are: tokens, headers, addresses", async () => {
  const rules = [
    {
      from: [{ source: { namespaces: ["foo"], requestPrincipals: ["iss/*"] } }],
      to: [{ operation: { paths: ["/a*"], hosts: ["app"] } }],
      when: [{ key: "request.headers[x-role]", values: ["admin"] }],
    },
  ];
  const tokens = resource("RequestAuthentication", "t", {
    jwtRules: [{ issuer: "iss", jwks: '{"keys":[]}' }],
  });
  const mesh = meshOf(pod("foo", "sleep"), tokens, authorization("a", { rules }));
  const tightened = await tighten(mesh, [flow("/a/b")]);
  const own = specs(tightened)["AuthorizationPolicy foo/httpbin-as-seen"];
  assert.deepEqual(own?.rules, [
    {
      from: [{ source: { requestPrincipals: ["iss/*"], principals: [SLEEP] } }],
      to: [{ operation: { methods: ["GET"], paths: ["/a/b"], ports: ["8080"], hosts: ["app"] } }],
      when: [{ key: "request.headers[x-role]", values: ["admin"] }],
    },
  ]);
  assert.equal(tightened.replay.uncertain, 1);
});

test("patterns never leave those of today's rule", async () => {
  const rules = [
    {
      to: [
        {
          operation: {
            paths: ["/orders/1", "/orders/2", "/orders/3", "/orders/4", "/orders/5", "/orders/6"],
          },
        },
      ],
    },
  ];
  const mesh = meshOf(
    pod("foo", "sleep"),
    authorization("a", { rules, selector: { matchLabels: { app: "httpbin" } } }),
  );
  const flows = Array.from({ length: 5 }, (_, at) => flow(`/orders/${at + 1}`));
  const { proposal } = await tighten(mesh, flows);
  const { changes } = diffAccess(mesh, proposal.mesh, { semantics: "istio", regionLimit: 100 });
  assert.deepEqual(
    changes.filter(({ change }) => change === "widened"),
    [],
  );
  assert.equal(proposal.servers.length, 1);
});

test("a policy for several workloads keeps its selector and loses its rules; those that are left alone get them", async () => {
  const rules = [{ from: [{ source: { namespaces: ["foo"] } }] }];
  const mesh = meshOf(pod("foo", "sleep"), pod("foo", "idle"), authorization("all", { rules }));
  const tightened = await tighten(mesh, [flow("/a")]);
  const after = specs(tightened);
  assert.deepEqual(after["AuthorizationPolicy foo/all"], {});
  assert.deepEqual(after["AuthorizationPolicy foo/all-for-idle"], {
    selector: { matchLabels: { app: "idle" } },
    rules,
  });
  const { changes } = diffAccess(mesh, tightened.proposal.mesh, { semantics: "istio", regionLimit: 100 });
  assert.deepEqual([...new Set(changes.flatMap(({ workloads }) => workloads))], ["foo/httpbin"]);
  assert.ok(changes.every(({ change }) => change === "narrowed"));
});

test("the root namespace's accounts keep their namespace in copies", async () => {
  const rules = [{ from: [{ source: { serviceAccounts: ["sleep", "foo/sleep"] } }] }];
  const mesh = meshOf(pod("foo", "sleep"), authorization("all", { rules }, { namespace: "istio-system" }));
  const tightened = await tighten(mesh, [flow("/a")]);
  assert.deepEqual(specs(tightened)["AuthorizationPolicy foo/all-for-sleep"]?.rules, [
    { from: [{ source: { serviceAccounts: ["istio-system/sleep", "foo/sleep"] } }] },
  ]);
});

test("a policy of one workload is narrowed in its place, and others of the same selector go", async () => {
  const selector = { matchLabels: { app: "httpbin" } };
  const mesh = meshOf(
    pod("foo", "sleep"),
    authorization("a", { selector, rules: [{ to: [{ operation: { methods: ["GET"] } }] }] }),
    authorization("b", { selector, rules: [{ to: [{ operation: { methods: ["PUT"] } }] }] }),
  );
  const { proposal } = await tighten(mesh, [flow("/a"), flow("/a", { method: "PUT" })]);
  assert.deepEqual(
    proposal.changes.map(({ action, manifest }) => [action, manifest.metadata.name]),
    [
      ["delete", "b"],
      ["replace", "a"],
    ],
  );
});

test("DENY policies stay, and what they refuse for certain is a contradiction and no evidence", async () => {
  const deny = { action: "DENY", rules: [{ to: [{ operation: { paths: ["/admin*"] } }] }] };
  const mesh = meshOf(pod("foo", "sleep"), authorization("no-admin", deny));
  const tightened = await tighten(mesh, [flow("/a"), flow("/admin/x")]);
  assert.deepEqual(
    [...tightened.evidence.contradictions.values()].map(({ requests }) => requests),
    [1],
  );
  assert.deepEqual(specs(tightened)["AuthorizationPolicy foo/no-admin"], deny);
});

test("callers whom nobody vouches for are listed and not granted: plaintext, and identities that the files do not know", async () => {
  const mesh = meshOf(pod("foo", "sleep"));
  const stranger = "cluster.local/ns/foo/sa/stranger";
  const flows = [flow("/a"), flow("/metrics", { principal: null }), flow("/x", { principal: stranger })];
  const { evidence, proposal } = await tighten(mesh, flows);
  assert.deepEqual(
    [...evidence.unvouched.values()].map(({ caller }) => caller),
    ["no identity", stranger],
  );
  assert.deepEqual(
    proposal.servers[0]?.grants.flatMap(({ principals }) => principals),
    [SLEEP],
  );
});

test("an identity of elsewhere that today's rule names in full is granted", async () => {
  const partner = "cluster.local/ns/partner/sa/api";
  const rules = [{ from: [{ source: { principals: [partner] } }] }];
  const mesh = meshOf(authorization("a", { rules }));
  const { proposal } = await tighten(mesh, [flow("/a", { principal: partner })]);
  assert.deepEqual(
    proposal.servers[0]?.grants.flatMap(({ principals }) => principals),
    [partner],
  );
});

test("workloads that no selector tells apart share a policy, of what was seen of any of them", async () => {
  const mesh = meshOf(
    pod("bar", "one", { app: "twin" }),
    pod("bar", "two", { app: "twin" }),
    pod("foo", "sleep"),
  );
  const { proposal } = await tighten(mesh, [
    flow("/a", { workload: "bar/one" }),
    flow("/b", { workload: "bar/two" }),
  ]);
  assert.deepEqual(proposal.servers[0]?.workloads, ["bar/one", "bar/two"]);
  assert.deepEqual(
    proposal.servers[0]?.grants[0]?.operations[0]?.paths?.map(({ pattern }) => pattern),
    ["/a", "/b"],
  );
});

test("what nothing was seen to reach stays as it is, or is closed where that is asked for", async () => {
  const mesh = meshOf(pod("foo", "sleep"));
  const kept = await tighten(mesh, [flow("/a")]);
  assert.deepEqual(
    kept.proposal.untouched.map(({ workloads }) => workloads),
    [["foo/sleep"]],
  );
  const closed = await tighten(mesh, [flow("/a")], { inactive: "close" });
  assert.deepEqual(specs(closed)["AuthorizationPolicy foo/sleep-as-seen"], {
    selector: { matchLabels: { app: "sleep" } },
  });
});

test("statuses that are not taken for needed grant nothing", async () => {
  const mesh = meshOf(pod("foo", "sleep"));
  const flows = [flow("/a"), flow("/.env", { status: 404 })];
  const { proposal, replay } = await tighten(mesh, flows, { unwantedStatuses: [404] });
  assert.deepEqual(
    proposal.servers[0]?.grants[0]?.operations[0]?.paths?.map(({ pattern }) => pattern),
    ["/a"],
  );
  assert.deepEqual(replay.refused, []);
});

test("what is lost is told with who could need it, those that nothing is known of before those that never asked", async () => {
  const mesh = meshOf(pod("foo", "sleep"), pod("bar", "admin"));
  const flows = [flow("/a"), flow("/metrics", { principal: null })];
  const { evidence, proposal, replay } = await tighten(mesh, flows);
  const { losses, holes } = reportOf(
    mesh,
    evidence,
    { malformed: 2, missing: { records: 3, processes: 1 } },
    proposal,
    replay,
  );
  assert.ok(losses.length > 0);
  assert.ok(losses.some(({ risk }) => risk === "unobserved"));
  assert.ok(holes.includes("2 records are malformed and count for nothing"), holes.join("\n"));
  assert.ok(holes.some((hole) => hole.startsWith("never active") && hole.includes("bar/admin")));
  assert.ok(holes.some((hole) => hole.startsWith("less than a day of evidence")));
  assert.ok(holes.some((hole) => hole.startsWith("3 records or more are missing")));
});

test("hours and days without evidence are found, and logs that leave requests out are named", async () => {
  const span = new EvidenceSpan();
  for (let day = 0; day < 8; day++) if (day !== 3) span.add(Date.UTC(2026, 10, 2 + day, 9));
  assert.deepEqual(span.weekdaysNeverSeen(), [4]);
  assert.equal(span.hoursNeverSeen().length, 23);
  assert.deepEqual(span.holes()[0], { fromMs: Date.UTC(2026, 10, 4, 10), toMs: Date.UTC(2026, 10, 6, 9) });
  const filter = resource("Telemetry", "sparse", {
    accessLogging: [{ filter: { expression: "response.code >= 400" } }],
  });
  const mesh = meshOf(pod("foo", "sleep"), { ...filter, apiVersion: "telemetry.istio.io/v1" });
  const { evidence } = await tighten(mesh, [flow("/a")]);
  const holes = holesOf(mesh, evidence, { malformed: 0, missing: { records: 0, processes: 0 } });
  assert.ok(holes.some((hole) => hole.startsWith("Telemetry foo/sparse")));
});

test("missing numbers of a process are missing records", () => {
  const gaps = new IdGaps();
  for (const id of ["a/b@1:0", "a/b@1:1", "a/b@1:5", "a/b@2:7", "nonsense"]) gaps.add(id);
  assert.deepEqual(gaps.missing(), { records: 3, processes: 1 });
  gaps.close();
  gaps.add("a/b@1:2");
  assert.deepEqual(gaps.missing(), { records: 3, processes: 1 }, "a log that is read again counts once");
});

test("what cannot be proven keeps all of today's conditions, and is said to be no wider by construction alone", async () => {
  const when = [{ key: "request.headers[:path]", values: ["/a*"] }];
  const rules = [
    { from: [{ source: { namespaces: ["foo"] } }], to: [{ operation: { notPaths: ["/a/b"] } }], when },
  ];
  const mesh = meshOf(pod("foo", "sleep"), authorization("a", { rules }));
  const tightened = await tighten(mesh, [flow("/a/c")]);
  assert.equal(tightened.proposal.servers[0]?.proof.kind, "by construction");
  assert.deepEqual(specs(tightened)["AuthorizationPolicy foo/httpbin-as-seen"]?.rules, [
    {
      from: [{ source: { namespaces: ["foo"], principals: [SLEEP] } }],
      to: [{ operation: { methods: ["GET"], paths: ["/a/c"], ports: ["8080"], notPaths: ["/a/b"] } }],
      when,
    },
  ]);
});

test("a path that can only be written as a folder does not leave today's rule, proven or not", async () => {
  const when = [{ key: "request.headers[:path]", values: ["/a*"] }];
  const rules = [{ to: [{ operation: { paths: ["/a/b*"] } }], when }];
  const mesh = meshOf(pod("foo", "sleep"), authorization("a", { rules }));
  const tightened = await tighten(mesh, [flow("/a/b*")]);
  const [rule] = specs(tightened)["AuthorizationPolicy foo/httpbin-as-seen"]?.rules ?? [];
  assert.deepEqual(rule?.to?.[0]?.operation?.paths, ["/a/b*"]);
});

/** Two workloads that share a policy, of which one has a policy more today. */
function twins(when: readonly object[]): Mesh {
  const rules = [{ from: [{ source: { principals: [SLEEP] } }] }];
  const more = [{ from: [{ source: { principals: [ADMIN] } }], when }];
  return meshOf(
    pod("bar", "one", { app: "twin", version: "v2" }),
    pod("bar", "two", { app: "twin" }),
    pod("bar", "admin"),
    pod("foo", "sleep"),
    authorization("both", { rules }, { namespace: "bar" }),
    authorization(
      "one-alone",
      { selector: { matchLabels: { version: "v2" } }, rules: more },
      { namespace: "bar" },
    ),
  );
}

const SEEN_AT_TWINS = [flow("/a", { workload: "bar/one" }), flow("/a", { workload: "bar/two" })];

test("what is lost is told of every workload that shares a policy, each loss with those that have it", async () => {
  const { proposal } = await tighten(twins([]), SEEN_AT_TWINS);
  const [server] = proposal.servers;
  assert.deepEqual(server?.workloads, ["bar/two", "bar/one"]);
  assert.deepEqual(server?.proof, { kind: "proven" });
  const losers = (caller: string) =>
    new Set(server?.lost.flatMap(({ callers, workloads }) => (callers.includes(caller) ? workloads : [])));
  assert.deepEqual(losers(SLEEP), new Set(["bar/two", "bar/one"]));
  assert.deepEqual(losers(ADMIN), new Set(["bar/one"]));
});

test("one workload that is not analysed keeps those that share its policy from being called proven", async () => {
  const { proposal } = await tighten(
    twins([{ key: "request.headers[:path]", values: ["/a*"] }]),
    SEEN_AT_TWINS,
  );
  const [server] = proposal.servers;
  assert.deepEqual(server?.workloads, ["bar/two", "bar/one"]);
  assert.equal(server?.proof.kind, "by construction");
  assert.deepEqual(server?.proof.kind === "by construction" && server.proof.workloads, ["bar/one"]);
});
