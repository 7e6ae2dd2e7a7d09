import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { COMMANDS } from "../../src/cli/command-registry.ts";
import { bulwark } from "./run-bulwark.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-"));
const state = join(folder, "state");
after(() => rmSync(folder, { recursive: true, force: true }));

test("every command is listed, and has help with examples", async () => {
  const all = await bulwark(["--help"]);
  assert.equal(all.code, 0);
  await Promise.all(
    COMMANDS.map(async ({ name, summary }) => {
      assert.ok(all.stdout.includes(name), name);
      const help = await bulwark([name, "--help"]);
      assert.equal(help.code, 0, name);
      assert.match(help.stdout, /Examples:\n {2}\$ /, name);
      assert.ok(help.stdout.includes(summary), name);
    }),
  );
});

test("a slip in a command or an option exits 3 and suggests what was meant", async () => {
  const command = await bulwark(["staus"]);
  assert.deepEqual([command.code, command.stdout], [3, ""]);
  assert.match(command.stderr, /unknown command 'staus'\n\(Did you mean status\?\)/);
  const option = await bulwark(["status", "--frmat", "json"]);
  assert.equal(option.code, 3);
  assert.match(option.stderr, /Did you mean --format\?/);
  const format = await bulwark(["status", "--format", "xml"]);
  assert.equal(format.code, 3);
  assert.match(format.stderr, /text, json/);
});

test("missing and malformed arguments exit 3 and say how they are written", async () => {
  const cases: readonly [readonly string[], RegExp][] = [
    [["up"], /missing required argument 'source'/],
    [["up", folder, "--cert-ttl", "soon"], /10s, 5m, 24h or 90d/],
    [["up", folder, "--cert-ttl", "1s"], /live from 2s to/],
    [["up", folder, "--revocation-max-age", "1999ms"], /2s at least/],
    [["up", folder, "--cert-ttl", "2161h"], /above what the CA signs for, 90d \(--max-cert-ttl\)/],
    [["up", folder, "--cert-ttl", "100d"], /above what the CA signs for, 90d/],
    [["up", folder, "--max-cert-ttl", "366d"], /live from 2s to 365d/],
    [["up", folder, "--cert-ttl", "61m", "--max-cert-ttl", "1h"], /signs for, 1h \(--max-cert-ttl\)/],
    [["up", folder, "--crl-url", "https://crl.example/"], /write it as http:\/\/HOST\/PATH/],
    [["up", folder, "--ocsp-url", "published"], /needs --revocation-http/],
    [["call", "a/b"], /missing required argument 'url'/],
    [["call", "a/b", "payroll.finance"], /write http:\/\/HOST\/PATH/],
    [["call", "a/b", "ftp://x"], /write http:\/\/HOST\/PATH/],
    [["call", "a/b", "tcp://payroll.finance"], /names no port/],
    [["call", "a/b", "http://x/", "-H", "nonsense"], /write `Name: value`/],
    [["call", "a/b", "http://x/", "-X", "GE T"], /no HTTP method/],
    [["call", "a/b", "http://x/", "-d", "@/no/such/file"], /ENOENT/],
    [["flows", "-n", "20000"], /whole number from 1 to 10000/],
    [["flows", "-n", "0"], /whole number from 1 to 10000/],
    [["flows", "-n", "many"], /whole number from 1 to 10000/],
    [["call", "a/b", "http://x/", "--replica", "first"], /whole number from 0/],
    [["flows", "--verdict", "denied"], /not one of allow, deny, error/],
  ];
  await Promise.all(
    cases.map(async ([args, expected]) => {
      const { code, stderr } = await bulwark([...args], { BULWARK_STATE: state });
      assert.equal(code, 3, args.join(" "));
      assert.match(stderr, expected, args.join(" "));
      assert.doesNotMatch(stderr, /BUG|\n {4}at /);
    }),
  );
});

test("without a mesh every command that needs one exits 1 in one line", async () => {
  for (const args of [["status"], ["call", "a/b", "http://x/"], ["env", "a/b"], ["flows", "--follow"]]) {
    const { code, stderr } = await bulwark([...args, "--state", state]);
    assert.equal(code, 1, args[0] ?? "");
    assert.match(stderr, /^bulwark: [^\n]+\n$/, args[0] ?? "");
  }
  const down = await bulwark(["down", "--state", state]);
  assert.deepEqual([down.code, down.stdout], [0, "nothing was running\n"]);
  assert.equal(existsSync(state), false);
});

test("up refuses files with errors: all of them, with file, line and column; exit 3; nothing is started or left", async () => {
  const file = join(folder, "broken.yaml");
  writeFileSync(
    file,
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: ns}
spec:
  action: ALOW
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: ns}
spec:
  mtls:
    mode: STRIKT
`,
  );
  const { code, stderr, stdout } = await bulwark(["up", file, "--state", state]);
  assert.equal(code, 3);
  assert.match(stderr, /broken\.yaml:5:11: error BW\w+: AuthorizationPolicy ns\/a: .*`ALOW`/);
  assert.match(stderr, /broken\.yaml:12:11: error BW\w+: PeerAuthentication ns\/default: .*`STRIKT`/);
  assert.match(stderr, /2 errors: nothing was started/);
  assert.equal(stdout, "");
  assert.equal(existsSync(state), false);
  const json = await bulwark(["up", file, "--state", state, "--format", "json"]);
  assert.equal(json.code, 3);
  assert.equal(JSON.parse(json.stdout).errors.length, 2);
});

test("up refuses a YAML syntax error, an empty folder and a path that is not there", async () => {
  const file = join(folder, "syntax.yaml");
  writeFileSync(file, "kind: [\n");
  const syntax = await bulwark(["up", file, "--state", state]);
  assert.equal(syntax.code, 3);
  assert.match(syntax.stderr, /syntax\.yaml:\d+:\d+: error/);
  const empty = mkdtempSync(join(folder, "empty-"));
  const nothing = await bulwark(["up", empty, "--state", state]);
  assert.equal(nothing.code, 3);
  assert.match(nothing.stderr, /no resource was found|no manifest/);
  const absent = await bulwark(["up", join(folder, "absent"), "--state", state]);
  assert.equal(absent.code, 3);
  assert.match(absent.stderr, /absent/);
});
