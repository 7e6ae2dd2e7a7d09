import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { EXIT, exitCodeOfFailure } from "../../src/cli/exit-code.ts";
import { renderCa } from "../../src/cli/render/ca-status.ts";
import type { CaCertificate, CaReport } from "../../src/control/revocation/messages.ts";
import { bulwark } from "./run-bulwark.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-ca-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const state = join(folder, "state");
const out = join(folder, "cacerts");

/** Arguments that would do something if a mesh ran. */
const SUBCOMMANDS: readonly (readonly string[])[] = [
  ["status"],
  ["status", "--check"],
  ["revoke", "5b20c1"],
  ["restore", "--workload", "a/b"],
  ["unblock", "spiffe://cluster.local/ns/a/sa/b"],
  ["crl"],
  ["rotate-root"],
  ["rotate-intermediate"],
];

test("every subcommand of `ca` that needs a mesh exits 1 without one, in one line", async () => {
  await Promise.all(
    SUBCOMMANDS.map(async (args) => {
      const { code, stdout, stderr } = await bulwark(["ca", ...args, "--state", state]);
      assert.deepEqual([code, stdout], [EXIT.failed, ""], args.join(" "));
      assert.match(stderr, /^bulwark: [^\n]+\n$/, args.join(" "));
    }),
  );
});

test("every subcommand of `ca` exits 3 for what is not an argument of its, and says what and where to look", async () => {
  const names = [...new Set(SUBCOMMANDS.map(([name = ""]) => name)), "enroll"];
  await Promise.all(
    [["--frobnicate"], ["--format", "xml"]].flatMap((args) =>
      names.map(async (name) => {
        const { code, stderr } = await bulwark(["ca", name, ...args]);
        assert.equal(code, EXIT.invalid, name);
        assert.match(stderr, /^error: [\s\S]+\n\(add --help to see how it is written\)\n$/, name);
      }),
    ),
  );
  assert.equal((await bulwark(["ca", "revok"])).code, EXIT.invalid);
});

test("mistakes in the arguments of `ca` exit 3 and say how they are written; an unreachable server exits 1", async () => {
  const enroll = (...args: readonly string[]) => ["enroll", ...args, "--out", out];
  const cases: readonly [readonly string[], number, RegExp][] = [
    [["revoke"], EXIT.invalid, /name one thing/],
    [["revoke", "5b", "--workload", "a/b"], EXIT.invalid, /name one thing/],
    [["revoke", "5b", "--reason", "boredom"], EXIT.invalid, /Allowed choices are/],
    [["restore"], EXIT.invalid, /name one thing/],
    [["crl", "--der"], EXIT.invalid, /--der needs --out/],
    [["status", "-n", "0"], EXIT.invalid, /whole number from 1/],
    [["rotate-root", "--timeout", "soon"], EXIT.invalid, /10s, 5m, 24h or 90d/],
    [["enroll", "https://127.0.0.1:1"], EXIT.invalid, /--out <dir>/],
    [enroll("http://127.0.0.1:1"), EXIT.invalid, /https:\/\/host\[:port\]/],
    [enroll("https://127.0.0.1:1", "--trust-domain", "A B"), EXIT.invalid, /is no trust domain/],
    [enroll("https://127.0.0.1:1", "--credentials", "user:secret"), EXIT.invalid, /file:PATH or env:NAME/],
    [enroll("https://127.0.0.1:1", "--credentials", "file:/no/such"), EXIT.invalid, /\/no\/such/],
    [enroll("https://127.0.0.1:1", "--server-ca", "/no/such"), EXIT.invalid, /cannot be read/],
    [enroll("https://127.0.0.1:1", "--client-cert", "/no/such"), EXIT.invalid, /go together/],
    [enroll("https://127.0.0.1:1", "--kubernetes-signer", "x.example/y"), EXIT.invalid, /--roots/],
    [
      enroll("https://127.0.0.1:1", "--kubernetes-signer", "x", "--roots", "package.json"),
      EXIT.invalid,
      /no signer for a CA/,
    ],
    [
      enroll("https://127.0.0.1:1", "--kubernetes-signer", "x.example/y", "--roots", "package.json"),
      EXIT.failed,
      /API server did not answer as it should: ECONNREFUSED/,
    ],
    [enroll("https://127.0.0.1:1"), EXIT.failed, /EST server did not answer as it should/],
  ];
  await Promise.all(
    cases.map(async ([args, expected, said]) => {
      const { code, stdout, stderr } = await bulwark(["ca", ...args], { BULWARK_STATE: state });
      assert.deepEqual([code, stdout], [expected, ""], `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, said, args.join(" "));
      assert.ok(!stderr.includes("secret"), "a credential is told");
      assert.doesNotMatch(stderr, /BUG|\n {4}at /);
    }),
  );
});

test("an unknown serial is the caller's to mend, a store that cannot be read is not", () => {
  assert.equal(exitCodeOfFailure("BW_CA_STORE_UNKNOWN_SERIAL"), EXIT.invalid);
  assert.equal(exitCodeOfFailure("BW_CLI_INPUT"), EXIT.invalid);
  assert.equal(exitCodeOfFailure("BW_CA_STORE_UNAVAILABLE"), EXIT.failed);
  assert.equal(exitCodeOfFailure("BW_CONTROL_UNREACHABLE"), EXIT.failed);
});

test("the table of exit codes in the documentation is that of the program", () => {
  const page = readFileSync("docs/running.md", "utf8");
  const section = page.slice(page.indexOf("## Exit codes"));
  const codes = [...section.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  assert.deepEqual(codes, Object.values(EXIT));
});

test("a certificate that ended since the control plane told of it is not called valid beside its end", () => {
  const endsAtMs = Date.UTC(2026, 0, 1);
  const certificate: CaCertificate = {
    serial: "5b",
    identity: "spiffe://cluster.local/ns/a/sa/b",
    issuerKeyId: "aa",
    issuedAt: new Date(endsAtMs - 5000).toISOString(),
    notAfter: new Date(endsAtMs).toISOString(),
    method: "token",
    status: "valid",
    revoked: null,
    usedBy: null,
  };
  const report = {
    ...{ authorities: [], revokedAuthorities: [], revoking: null, alerts: [], blocked: [] },
    ...{ more: false, store: "x", trustDomain: "x" },
  };
  const lineAt = (offsetMs: number, one: CaCertificate = certificate) =>
    renderCa({ ...report, certificates: [one] } as unknown as CaReport, new Date(endsAtMs + offsetMs))
      .split("\n")
      .find((line) => line.startsWith("5b"));
  assert.match(lineAt(-400) ?? "", /\(in 1 s\) +valid/);
  assert.match(lineAt(0) ?? "", /\(ended\) +ended/);
  assert.match(lineAt(5000) ?? "", /\(ended\) +ended/);
  const revoked = { at: "2025-12-31T00:00:00.000Z", reason: "superseded", by: "cli" } as const;
  assert.match(lineAt(5000, { ...certificate, status: "revoked", revoked }) ?? "", /\(ended\) +revoked 2025/);
});
