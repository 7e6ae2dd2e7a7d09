import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Decision, Pair } from "../../src/index.ts";
import { bulwark } from "./run-bulwark.ts";

const folder = mkdtempSync(join(tmpdir(), "can-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const PAYROLL = ["--mesh", "examples/payroll"];
const EGRESS = ["--mesh", "examples/egress"];

const PEOPLE: readonly (readonly [args: readonly string[], code: number, output: RegExp])[] = [
  [
    ["finance/account-auditor", "GET", "http://payroll.finance/accounts/7", ...PAYROLL],
    0,
    /^allowed: .*\n200 ok \(allow-matched\) by finance\/payroll, AuthorizationPolicy finance\/auditor-reads-accounts rule 0/,
  ],
  [
    ["finance/account-auditor", "POST", "http://payroll.finance/accounts/7", ...PAYROLL],
    2,
    /^denied: .*\n403 rbac[\s\S]*it wants methods in \[GET\]; came `POST`/,
  ],
  [
    ["finance/intranet", "http://payroll.finance/accounts/7", ...PAYROLL],
    2,
    /nearest rule .* rule 0 of AuthorizationPolicy finance\/auditor-reads-accounts/,
  ],
  [
    ["finance/intranet", "http://payroll.finance/", "--plaintext", ...PAYROLL],
    2,
    /no-chain \(no-chain\) by finance\/payroll, PeerAuthentication istio-system\/default/,
  ],
  [
    ["finance/account-auditor", "tcp://payroll.finance:9000", ...PAYROLL],
    2,
    /rbac \(no-allow-matched\) by finance\/payroll/,
  ],
  [
    [
      "--principal",
      "spiffe://cluster.local/ns/finance/sa/intranet",
      "--to",
      "finance/payroll:8080",
      "GET",
      "/salaries",
      ...PAYROLL,
    ],
    2,
    /403 rbac \(no-allow-matched\) by finance\/payroll/,
  ],
  [
    ["team-a/app-a", "https://www.ibm.com", ...EGRESS],
    0,
    /by istio-egress\/istio-egressgateway, AuthorizationPolicy istio-egress\/a-to-ibm rule 0/,
  ],
  [
    ["team-a/app-a", "https://mongo1.composedb.com", ...EGRESS],
    2,
    /rbac \(no-allow-matched\) by istio-egress\/istio-egressgateway/,
  ],
  [["team-a/app-a", "https://www.example.org", ...EGRESS], 2, /blackhole \(blackhole\) by team-a\/app-a/],
];
for (const [args, code, output] of PEOPLE) {
  test(`can ${args.join(" ")}: exit ${code}`, async () => {
    const finished = await bulwark(["can", ...args]);
    assert.match(finished.stdout, output);
    assert.equal(finished.code, code, finished.stderr);
  });
}

test("NetworkPolicies are hops of their own", async () => {
  const { stdout, stderr } = await bulwark(["can", "team-a/app-a", "https://www.ibm.com", ...EGRESS]);
  assert.match(stdout, /team-a\/app-a +NetworkPolicy out +allowed +network-rule/);
  assert.match(stdout, /NetworkPolicy team-a\/egress-only-through-gateway egress rule 0 allows TCP 8443/);
  assert.doesNotMatch(stderr, /BW1510/);
});

const REQUESTS = `[
  {"id": "a", "from": {"workload": "finance/account-auditor"}, "to": {"service": "payroll.finance", "port": 80}, "path": "/accounts/7"},
  {"from": {"workload": "finance/intranet"}, "to": {"workload": "finance/payroll", "port": 8080}}
]`;

test("a file of requests gives JSON in the order asked, and text a line for each", async () => {
  const requests = file("requests.json", REQUESTS);
  const json = await bulwark(["can", ...PAYROLL, "--requests", requests, "--format", "json"]);
  assert.equal(json.code, 2, json.stderr);
  const answer = JSON.parse(json.stdout) as {
    decisions: Decision[];
    rejected: unknown[];
    warnings: unknown[];
  };
  assert.deepEqual(
    answer.decisions.map(({ id, allowed, hop }) => [id, allowed, hop]),
    [
      ["a", true, "finance/payroll"],
      ["r2", false, "finance/payroll"],
    ],
  );
  assert.deepEqual([answer.rejected, answer.warnings], [[], []]);
  const text = await bulwark(["can", ...PAYROLL, "--requests", requests]);
  assert.match(text.stdout, /^allowed {2}a .*\ndenied {3}r2 .*\n1 allowed, 1 denied, 0 unknown\n$/);
});

test("problems of a request file are told with line, column and what was meant: exit 3", async () => {
  const requests = file(
    "wrong.json",
    '{"requests": [\n  {"from": {"workload": "finance/intrant"}, "to": {"service": "payrol.finance", "port": 80}},\n  {"to": {"service": "payroll.finance", "port": 80}, "pth": "/"}\n]}',
  );
  const { code, stderr, stdout } = await bulwark(["can", ...PAYROLL, "--requests", requests]);
  assert.deepEqual([code, stdout], [3, ""]);
  assert.match(
    stderr,
    /wrong\.json:2:\d+: error BW1502_REQUEST_NAME: the mesh has no workload `finance\/intrant`\n\s+did you mean `finance\/intranet`\?/,
  );
  assert.match(
    stderr,
    /wrong\.json:2:\d+: error BW1502_REQUEST_NAME: the mesh has no service `payrol\.finance`\n\s+did you mean `payroll\.finance`\?/,
  );
  assert.match(
    stderr,
    /wrong\.json:3:\d+: error BW1501_REQUEST_FIELD: there is no field `pth`\n\s+did you mean `path`\?/,
  );
  const broken = await bulwark(["can", ...PAYROLL, "--requests", file("broken.json", '[{"id": "a",, }]')]);
  assert.equal(broken.code, 3);
  assert.match(broken.stderr, /broken\.json:1:\d+: error BW1005_SYNTAX/);
});

test("a rejected resource is listed and takes no part; a file that cannot be read exits 3", async () => {
  const bad = file(
    "bad.yaml",
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: bad, namespace: finance}\nspec: {action: DENY}\n",
  );
  const ask = ["can", "finance/account-auditor", "http://payroll.finance/accounts/7", ...PAYROLL, "--mesh"];
  const rejected = await bulwark([...ask, bad, "--format", "json"]);
  assert.equal(rejected.code, 0);
  const counted = await bulwark([...ask, bad, "--fail-on-rejected"]);
  assert.equal(counted.code, 3, "all is allowed, of a mesh that is not whole");
  assert.match(rejected.stderr, /rejected: AuthorizationPolicy finance\/bad takes no part/);
  const denied = await bulwark(["can", "finance/intranet", ...ask.slice(2), bad]);
  assert.equal(denied.code, 2, denied.stderr);
  const [first] = (JSON.parse(rejected.stdout) as { rejected: { name: string; error: string }[] }).rejected;
  assert.equal(first?.name, "bad");
  assert.ok(first.error.length > 0);
  assert.match(
    (await bulwark([...ask, bad])).stderr,
    /rejected: AuthorizationPolicy finance\/bad takes no part\n.*bad\.yaml:\d+:\d+: error/,
  );
  const unreadable = await bulwark([...ask, file("tabs.yaml", "a:\n\t- b\n")]);
  assert.deepEqual([unreadable.code, unreadable.stdout], [3, ""]);
  assert.match(unreadable.stderr, /tabs\.yaml:2:\d+: error/);
});

test("what is not understood exits 3 and says how it is written", async () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [["finance/intranet", "http://payroll.finance/"], /name the mesh/],
    [["finance/intranet", "GET", ...PAYROLL], /name what is asked for/],
    [["finance/intranet", "ftp://payroll.finance/", ...PAYROLL], /cannot be asked for/],
    [["finance/intranet", "tcp://payroll.finance", ...PAYROLL], /names no port/],
    [["finance/intrant", "http://payroll.finance/", ...PAYROLL], /did you mean `finance\/intranet`/],
  ];
  for (const [args, message] of wrong) {
    const { code, stderr } = await bulwark(["can", ...args]);
    assert.equal(code, 3, args.join(" "));
    assert.match(stderr, message);
  }
});

const ALL: readonly (readonly [args: readonly string[], code: number, output: RegExp])[] = [
  [
    ["--all-to", "finance/payroll:8080", "GET", "/accounts/7", "/salaries", ...PAYROLL],
    2,
    /finance\/account-auditor +finance\/payroll:8080 +GET \/accounts\/7 +allowed +200 ok .* rule 0\n +GET \/salaries +denied[\s\S]*\n\n3 pairs: 0 allowed, 1 partly, 0 unknown, 2 denied\n$/,
  ],
  [["--all-to", "finance/intranet", "--namespace", "finance", ...PAYROLL], 0, /2 pairs: 2 allowed/],
  [
    ["--all-from", "team-a/app-a", "--only", "denied,unknown", ...EGRESS],
    2,
    /^FROM[^\n]*\nteam-a\/app-a +team-b\/app-b:8080 +GET \/ +denied +503 network \(network-isolated\)[^\n]*\n[^\n]*mongo1\.composedb\.com:443 +tls +denied +rbac[^\n]*\n[^\n]*any other host[^\n]*\n[^\n]*any other host[^\n]*\n\n5 pairs: 1 allowed/,
  ],
];
for (const [args, code, output] of ALL) {
  test(`can ${args.join(" ")}: exit ${code}`, async () => {
    const finished = await bulwark(["can", ...args]);
    assert.match(finished.stdout, output);
    assert.equal(finished.code, code, finished.stderr);
  });
}

test("--all-to as JSON has a pair a line", async () => {
  const { stdout } = await bulwark(["can", "--all-to", "finance/payroll", ...PAYROLL, "--format", "json"]);
  const { pairs } = JSON.parse(stdout) as { pairs: Pair[] };
  const own = stdout.split("\n").filter((line) => line.startsWith('  {"from":'));
  assert.deepEqual([pairs.length, own.length], [6, 6]);
  assert.deepEqual(pairs.map(({ from, port, verdict }) => [from, port, verdict])[0], [
    "finance/account-auditor",
    8080,
    "partly",
  ]);
});

test("what --all-to does not go with, and names that there are not, exit 3 with what was meant", async () => {
  for (const [args, message] of [
    [["--all-to", "finance/payrol"], /did you mean `finance\/payroll`/],
    [["--all-to", "payroll"], /`payroll` is no workload: write NAMESPACE\/NAME/],
    [["--all-to", "finance/payroll", "--all-from", "finance/intranet"], /ask one/],
    [["--all-to", "finance/payroll", "--client-only"], /--client-only is of one request/],
    [["--all-from", "finance/intranet", "http://payroll.finance/"], /neither a METHOD nor a \/PATH/],
    [["--all-from", "finance/intranet:80"], /leave `:80` out/],
    [
      ["--only", "denied", "finance/intranet", "http://payroll.finance/"],
      /--only goes with --all-to or --all-from/,
    ],
  ] as const) {
    const { code, stderr } = await bulwark(["can", ...args, ...PAYROLL]);
    assert.equal(code, 3, stderr);
    assert.match(stderr, message);
  }
});
