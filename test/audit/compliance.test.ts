import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AuditContext } from "../../src/analysis/audit/audit-context.ts";
import { AUDIT_RULES } from "../../src/analysis/audit/rules.ts";
import { runRules } from "../../src/analysis/audit/run-rules.ts";
import { CLAIM_STATEMENTS, isClaimId } from "../../src/analysis/compliance/claim-statements.ts";
import { pciDss } from "../../src/analysis/compliance/frameworks/pci-dss.ts";
import { controlsRestingOn, FRAMEWORKS } from "../../src/analysis/compliance/frameworks.ts";
import { complianceReport } from "../../src/analysis/compliance/report.ts";
import { shippedAdvisories } from "../../src/analysis/trust/advisories/shipped-advisories.ts";
import { complianceHtml } from "../../src/cli/render/compliance.ts";
import { certificateFacts } from "../../src/identity/certificate-facts.ts";
import { loadMesh } from "../../src/index.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { NOW } from "./audit-folder.ts";

const MESHES = join(import.meta.dirname, "compliance");

interface Judged {
  readonly id: string;
  readonly status: string;
  readonly claims: readonly {
    readonly id: string;
    readonly status: string;
    readonly evidence: readonly string[];
  }[];
  readonly beyond: string;
  readonly isWhole: boolean;
}

/** As the command does, but with the mesh read and audited once for all frameworks. */
async function judge(mesh: string, framework: string): Promise<readonly Judged[]> {
  const known = audited.get(mesh) ?? audit(mesh);
  audited.set(mesh, known);
  const { context, findings } = await known;
  const asked = FRAMEWORKS.find(({ name }) => name === framework);
  assert.ok(asked);
  const { controls } = await complianceReport(asked, context, findings, "istio");
  return controls;
}

const audited = new Map<string, ReturnType<typeof audit>>();

async function audit(folder: string) {
  const { mesh, rejected, warnings } = await loadMesh([folder]);
  const settings = { now: NOW, readCertificate: certificateFacts };
  const context = new AuditContext(mesh, rejected, settings, warnings);
  const { found, suppressed } = runRules(context, AUDIT_RULES);
  return { context, findings: [...found, ...suppressed].map(({ finding }) => finding) };
}

/** What became of each claim, whatever control rests on it. */
function claimsOf(controls: readonly Judged[]): Readonly<Record<string, string>> {
  return Object.fromEntries(controls.flatMap(({ claims }) => claims.map(({ id, status }) => [id, status])));
}

test("controls rest on claims that there are, say what files cannot show, and stand once each", () => {
  for (const { name, controls } of FRAMEWORKS) {
    const ids = controls.map(({ id }) => id);
    assert.deepEqual(ids, [...new Set(ids)], name);
    for (const { id, title, claims, beyond } of controls) {
      assert.ok(title !== "" && beyond !== "", `${name} ${id}`);
      for (const claim of claims) assert.ok(isClaimId(claim), `${name} ${id}: ${claim}`);
    }
  }
});

/** Rules that bear on no control, and why. */
const WITHOUT_CONTROLS: Readonly<Record<string, string>> = {
  BW0002: "what is wrong is the suppression: what it hid is told by its own rule again",
  BW0003:
    "what the files do not have is neither for nor against a control: what they show is not shown by then",
  BW0042: "what is accepted is the owner's to judge: that nobody looks again is no fault of a defence",
  BW0135: "the annotation is still read: what is coming is told, nothing of today's defences is less",
  BW0136: "the annotation is read: that it may change later weakens nothing today",
  BW0148: "the pods are in the mesh, as they should be: what misleads is that no label says so",
  BW0164: "certificates are verified for addresses as they are for names",
  BW0315: "what is read where nothing is said is the stricter mode",
  BW0525: "who is to deploy the mesh is in no file: claims on rights are about those of the cluster",
  BW0601: "what a redundant rule says is in force by another rule",
  BW0868: "which clients are to bring a certificate is in no file",
  BW0869: "no control asks which sites may call: that is the application's",
  BW0867: "claims on tokens are about those that are mounted",
};

test("every rule bears on a control of a framework, or it is said why not", () => {
  for (const { id, claims } of AUDIT_RULES)
    assert.equal(controlsRestingOn(claims).length === 0, id in WITHOUT_CONTROLS, id);
  const ids = new Set<string>(AUDIT_RULES.map(({ id }) => id));
  for (const id of Object.keys(WITHOUT_CONTROLS)) assert.ok(ids.has(id), id);
});

test("a control rests on each claim", () => {
  const used = new Set<string>(
    FRAMEWORKS.flatMap(({ controls }) => controls.flatMap(({ claims }) => claims)),
  );
  assert.deepEqual(
    Object.keys(CLAIM_STATEMENTS).filter((id) => !used.has(id)),
    [],
  );
});

test("controls that a finding names are those of the frameworks that rest on the rule's claims", async () => {
  const { findings } = await audit(join(MESHES, "open"));
  const known = new Set(
    FRAMEWORKS.flatMap(({ label, controls }) => controls.map(({ id }) => `${label} ${id}`)),
  );
  assert.ok(findings.length > 0);
  for (const { controls } of findings) for (const control of controls) assert.ok(known.has(control), control);
  const bare = findings.find(({ rule }) => rule === "BW0805");
  assert.ok(bare?.controls.includes("CIS Kubernetes 1.12 5.3.2"), JSON.stringify(bare));
});

test("what a rule found stands in the evidence of every control that it names", async () => {
  const { findings } = await audit(join(MESHES, "open"));
  const judged = new Map<string, readonly string[]>();
  for (const { name, label } of FRAMEWORKS)
    for (const { id, claims } of await judge(join(MESHES, "open"), name))
      judged.set(
        `${label} ${id}`,
        claims.flatMap(({ evidence }) => evidence),
      );
  for (const { rule, controls } of findings)
    for (const control of controls) {
      const lines = judged.get(control) ?? [];
      const isThere = lines.some((line) => line.startsWith(`${rule}: `) || /^and \d+ more$/.test(line));
      assert.ok(isThere, `${rule} in ${control}`);
    }
});

test("a control passes only where all that it rests on is shown and that is all it asks, fails where one is refuted", async () => {
  for (const mesh of ["held", "open"])
    for (const { name } of FRAMEWORKS)
      for (const { id, status, claims, isWhole } of await judge(join(MESHES, mesh), name)) {
        const all = claims.map((claim) => claim.status);
        const expected = all.includes("refuted")
          ? "fail"
          : isWhole && all.length > 0 && all.every((one) => one === "shown")
            ? "pass"
            : "not shown";
        assert.equal(status, expected, `${mesh} ${name} ${id}`);
        for (const claim of claims) assert.ok(claim.status === "not shown" || claim.evidence.length > 0);
      }
});

test("of a mesh that is held the claims are shown, each with its evidence", async () => {
  const claims = claimsOf([
    ...(await judge(join(MESHES, "held"), "pci-dss")),
    ...(await judge(join(MESHES, "held"), "cis")),
  ]);
  const shown = ["mutual-tls", "default-deny", "own-trust-domain", "network-segmented", "egress-held"];
  for (const claim of [
    ...shown,
    "own-accounts",
    "access-logged",
    "gateway-tls",
    "net-raw-dropped",
    "pods-restricted",
    "capabilities-dropped",
    "seccomp-set",
    "admission-held",
  ])
    assert.equal(claims[claim], "shown", claim);
});

test("of an open mesh the same claims are refuted", async () => {
  const claims = claimsOf([
    ...(await judge(join(MESHES, "open"), "pci-dss")),
    ...(await judge(join(MESHES, "open"), "cis")),
  ]);
  for (const claim of [
    "mutual-tls",
    "default-deny",
    "network-segmented",
    "egress-held",
    "own-accounts",
    "gateway-tls",
  ])
    assert.equal(claims[claim], "refuted", claim);
  for (const claim of ["net-raw-dropped", "pods-restricted"]) assert.equal(claims[claim], "refuted", claim);
});

test("a NetworkPolicy that lets everything through undoes those that hold", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "claims-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(MESHES, "held"), folder, { recursive: true });
  const { context } = await audit(folder);
  const [pod] = context.mesh.workloads.filter(({ role }) => role === "application");
  assert.ok(pod);
  const policy = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "all", namespace: pod.namespace },
    spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"], ingress: [{}], egress: [{}] },
  };
  writeFileSync(join(folder, "all.json"), JSON.stringify(policy));
  const claims = claimsOf(await judge(folder, "pci-dss"));
  for (const claim of ["network-segmented", "egress-held"]) assert.equal(claims[claim], "refuted", claim);
});

test("claims on Kubernetes are refuted where one breach is, and are not shown where nothing is", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "claims-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const rule of ["BW0501", "BW0508", "BW0512", "BW0530"])
    cpSync(join(import.meta.dirname, "rules", rule, "bad"), join(folder, rule), { recursive: true });
  const broken = claimsOf(await judge(folder, "cis"));
  const asked = ["pods-unprivileged", "admission-held", "rights-over-secrets", "components-hardened"];
  for (const claim of asked) assert.equal(broken[claim], "refuted", claim);
  assert.equal(broken["rights-over-nodes"], "not shown");
  assert.equal(broken["host-pid-unused"], "shown");
  assert.equal(claimsOf(await judge(folder, "nist-800-207"))["baseline-kept"], "refuted");
  const silent = claimsOf(await judge(join(MESHES, "held"), "cis"));
  for (const claim of ["rights-over-secrets", "rights-of-all", "components-hardened"])
    assert.equal(silent[claim], "not shown", claim);
});

test("what the files say nothing of is not shown, and never passes", async () => {
  const claims = claimsOf(await judge(join(MESHES, "held"), "nist-800-207"));
  assert.equal(claims["images-signed"], "not shown");
  const logs = claimsOf(await judge(join(MESHES, "open"), "nist-800-207"));
  assert.equal(logs["access-logged"], "not shown");
});

test("the page needs nothing from elsewhere, and names are text in it", () => {
  const page = complianceHtml({
    framework: "x",
    title: "A <script>",
    scope: "s",
    time: "2026-11-22T12:00:00.000Z",
    files: ["a&b"],
    advisories: { date: "2026-11-01", isStale: false },
    controls: [
      {
        id: "1",
        title: "<img src=x onerror=alert(1)>",
        status: "fail",
        beyond: "b",
        isWhole: true,
        claims: [{ id: "mutual-tls", statement: "s", status: "refuted", evidence: ['"><b>'] }],
      },
    ],
  });
  assert.doesNotMatch(page, /<script|<img|href=|url\(|@import|"><b>/);
  assert.match(page, /A &#60;script&#62;/);
});

test("the exit code is 2 where a control fails, and JSON has what was judged", async () => {
  const { code, stdout } = await bulwark([
    "audit",
    join(MESHES, "open"),
    "--framework",
    "cis",
    "--format",
    "json",
  ]);
  assert.equal(code, 2);
  const { framework, controls } = JSON.parse(stdout);
  assert.equal(framework, "cis");
  assert.ok(controls.some(({ status }: Judged) => status === "fail"));
});

test("a report asks every rule, in formats of reports alone; the audit's own page is no report on a framework", async () => {
  const mesh = join(MESHES, "held");
  const part = await bulwark(["audit", mesh, "--framework", "cis", "--skip", "BW0106"]);
  assert.deepEqual([part.code, /leave `--rule`/.test(part.stderr)], [3, true]);
  const sarif = await bulwark(["audit", mesh, "--framework", "cis", "--format", "sarif"]);
  assert.deepEqual([sarif.code, /no format sarif/.test(sarif.stderr)], [3, true]);
  const page = await bulwark(["audit", mesh, "--format", "html"]);
  assert.match(page.stdout, /<h1>Audit<\/h1>/);
  assert.doesNotMatch(page.stdout, /<th scope="col">Control/);
});

test("files that are not what is deployed show nothing, and what they refute they still refute", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kustomized-"));
  try {
    for (const mesh of ["held", "open"]) {
      const built = claimsOf(await judge(join(MESHES, mesh), "pci-dss"));
      const copy = join(folder, mesh);
      cpSync(join(MESHES, mesh), copy, { recursive: true });
      const files = readdirSync(copy).map((file) => `- ${file}`);
      writeFileSync(
        join(copy, "kustomization.yaml"),
        ["namePrefix: live-", "resources:", ...files, ""].join("\n"),
      );
      const controls = await judge(copy, "pci-dss");
      for (const [id, status] of Object.entries(claimsOf(controls)))
        assert.equal(status, built[id] === "shown" ? "not shown" : built[id], `${mesh} ${id}`);
      const [held] = controls.flatMap(({ claims }) => claims).filter(({ id }) => built[id] === "shown");
      assert.match(held?.evidence[0] ?? "", /kustomization has `namePrefix`/);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Status of each control of all frameworks, by its name. */
async function statusesOf(folder: string): Promise<ReadonlyMap<string, Judged>> {
  const judged = await Promise.all(
    FRAMEWORKS.map(async ({ name, label }) =>
      (await judge(folder, name)).map((control) => [`${label} ${control.id}`, control] as const),
    ),
  );
  return new Map(judged.flat());
}

test("what no files can show makes no control pass: needs, approvals, persons, laws", async () => {
  const controls = await statusesOf(join(MESHES, "held"));
  for (const id of ["PCI-DSS 4.0 1.2.5", "PCI-DSS 4.0 7.2.2", "PCI-DSS 4.0 10.2.1"]) {
    const control = controls.get(id);
    assert.ok(control, id);
    for (const { status } of control.claims) assert.equal(status, "shown", id);
    assert.equal(control.status, "not shown", id);
  }
  const passed = [...controls].filter(([, { status }]) => status === "pass").map(([id]) => id);
  assert.deepEqual(passed, PASSED);
});

/** Each is a sentence about configuration, all of which is in the mesh's files. */
const PASSED = [
  "PCI-DSS 4.0 7.3.3",
  "NIST SP 800-204B SAUZ-SR-1",
  "NIST SP 800-204B AHLC-SR-1",
  "NIST SP 800-204B AHLC-SR-4",
  "NIST SP 800-204 MS-SS-4",
  "NIST SP 800-204A SM-DR1",
  "NIST SP 800-204A SM-DR6",
  "NIST SP 800-204A SM-DR8",
  "NIST SP 800-204A SM-DR11",
  "CIS Kubernetes 1.12 5.2.1",
  "CIS Kubernetes 1.12 5.2.2",
  "CIS Kubernetes 1.12 5.2.3",
  "CIS Kubernetes 1.12 5.2.4",
  "CIS Kubernetes 1.12 5.2.5",
  "CIS Kubernetes 1.12 5.2.6",
  "CIS Kubernetes 1.12 5.2.7",
  "CIS Kubernetes 1.12 5.2.8",
  "CIS Kubernetes 1.12 5.2.9",
  "CIS Kubernetes 1.12 5.2.10",
  "CIS Kubernetes 1.12 5.2.11",
  "CIS Kubernetes 1.12 5.2.12",
  "CIS Kubernetes 1.12 5.3.2",
  "CIS Kubernetes 1.12 5.4.1",
  "CIS Kubernetes 1.12 5.6.2",
  "CIS Kubernetes 1.12 5.6.4",
];

test("versions are not shown to be sound by old advisories, and are by new ones", async () => {
  const folder = join(import.meta.dirname, "rules", "BW0712", "bad");
  const claimAt = async (date: string): Promise<string | undefined> => {
    const { mesh, rejected, warnings } = await loadMesh([folder]);
    const trust = { advisories: { ...shippedAdvisories(), date } };
    const context = new AuditContext(
      mesh,
      rejected,
      { now: NOW, readCertificate: certificateFacts, trust },
      warnings,
    );
    const findings = runRules(context, AUDIT_RULES).found.map(({ finding }) => finding);
    const { controls } = await complianceReport(pciDss, context, findings, "istio");
    return claimsOf(controls)["versions-current"];
  };
  assert.equal(await claimAt("2026-08-05"), "not shown");
  assert.equal(await claimAt("2026-11-20"), "shown");
});

test("bindings that are not all of a cluster's show nothing of it, and all of them do", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "bindings-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const binding = (name: string, role: string, subject: string): string => `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: ${name}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ${role}}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "${subject}"}]
`;
  const part = join(folder, "part");
  const whole = join(folder, "whole");
  for (const one of [part, whole]) mkdirSync(one);
  const own = binding("readers", "view", "team");
  writeFileSync(join(part, "rbac.yaml"), own);
  writeFileSync(
    join(whole, "rbac.yaml"),
    [own, binding("cluster-admin", "cluster-admin", "system:masters")].join("---"),
  );
  assert.equal(claimsOf(await judge(part, "cis"))["rights-over-pods"], "not shown");
  assert.equal(claimsOf(await judge(whole, "cis"))["rights-over-pods"], "shown");
});

test("a part of the mesh whose access logs are switched off refutes that access is logged", async () => {
  const folder = join(import.meta.dirname, "rules", "BW0861", "bad");
  assert.equal(claimsOf(await judge(folder, "pci-dss"))["access-logged"], "refuted");
});
