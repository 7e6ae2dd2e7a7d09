import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { MeshDiff } from "../../src/analysis/diff/diff-access.ts";
import { BULWARK, bulwark as bulwarkWith, type Finished } from "./run-bulwark.ts";

const bulwark = (...args: readonly string[]): Promise<Finished> => bulwarkWith(args);

const folder = mkdtempSync(join(tmpdir(), "diff-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const BEFORE = "examples/diff/before";
const AFTER = "examples/diff/after";

test("a person reads who gains what, by what, and a request that shows it; weakened authentication first", async () => {
  const { code, stdout } = await bulwark("diff", BEFORE, AFTER);
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^\+ shop\/web, shop\/batch: more is let through\n {4}! mutual TLS is no longer required\n/,
  );
  assert.match(
    stdout,
    /identities: cluster\.local\/ns\/shop\/sa\/web; methods: GET, POST; paths: \/orders\* \(but not \/orders\/\*, \/orders\)/,
  );
  assert.match(
    stdout,
    /because AuthorizationPolicy shop\/orders was changed \(examples\/diff\/after\/mesh\.yaml:\d+\)/,
  );
  assert.doesNotMatch(stdout, /^-/m);
});

test("every witness is one that can answers otherwise on the two sides", async () => {
  const diff = JSON.parse((await bulwark("diff", BEFORE, AFTER, "--format", "json")).stdout) as MeshDiff;
  assert.ok(diff.changes.length > 0);
  const requests = join(folder, "witnesses.json");
  writeFileSync(requests, JSON.stringify(diff.changes.map(({ witness }) => witness)));
  const allowed = async (mesh: string): Promise<readonly boolean[]> => {
    const { stdout } = await bulwark("can", "--mesh", mesh, "--requests", requests, "--format", "json");
    return (JSON.parse(stdout) as { decisions: { allowed: boolean }[] }).decisions.map((one) => one.allowed);
  };
  assert.deepEqual(
    await allowed(BEFORE),
    diff.changes.map(({ change }) => change === "narrowed"),
  );
  assert.deepEqual(
    await allowed(AFTER),
    diff.changes.map(({ change }) => change === "widened"),
  );
});

test("a pull request gets Markdown that names the weakening first, and an exit code that stops it", async () => {
  const { code, stdout } = await bulwark(
    "diff",
    BEFORE,
    AFTER,
    "--format",
    "markdown",
    "--fail-on",
    "weakened",
  );
  assert.equal(code, 2);
  assert.ok(stdout.indexOf("### Weaker authentication") < stdout.indexOf("### Wider access"));
  assert.match(stdout, /\*\*mutual TLS is no longer required\.\*\*/);
  assert.equal((await bulwark("diff", AFTER, BEFORE, "--fail-on", "widened")).code, 0);
  assert.equal((await bulwark("diff", AFTER, BEFORE, "--fail-on", "changed")).code, 2);
});

test("equal meshes have no change, and what is not compared is said and does not pass for none", async () => {
  assert.match((await bulwark("diff", BEFORE, BEFORE)).stdout, /^no change of what workloads let through\n$/);
  const other = join(folder, "other");
  cpSync(BEFORE, other, { recursive: true });
  writeFileSync(
    join(other, "gateway.yaml"),
    "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: in, namespace: shop}\nspec:\n  selector: {app: orders}\n  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]\n",
  );
  const { code, stdout } = await bulwark("diff", BEFORE, other, "--fail-on", "widened");
  assert.match(stdout, /not compared: Gateway shop\/in was added/);
  assert.equal(code, 2);
});

test("wider egress is told, with who may go where, and stops a pull request", async () => {
  const other = join(folder, "egress");
  cpSync(BEFORE, other, { recursive: true });
  writeFileSync(
    join(other, "entry.yaml"),
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: out, namespace: shop}\nspec:\n  hosts: [example.com]\n  resolution: DNS\n  location: MESH_EXTERNAL\n  ports: [{name: tls, number: 443, protocol: TLS}]\n",
  );
  const { code, stdout } = await bulwark("diff", BEFORE, other, "--fail-on", "widened");
  assert.match(stdout, /\+ from shop\/web, shop\/batch, shop\/orders: example\.com:443 may now be reached/);
  assert.match(stdout, /! it leaves the mesh\n/);
  assert.match(stdout, /because ServiceEntry shop\/out was added/);
  assert.equal(code, 2);
  const narrower = await bulwark("diff", other, BEFORE, "--fail-on", "widened");
  assert.match(narrower.stdout, /- from .*: example\.com:443 may no longer be reached/);
  assert.equal(narrower.code, 0);
});

interface Repository {
  readonly mesh: string;
  git(...args: readonly string[]): void;
  /** @param env of the job that the command is in. */
  shell(command: string, env?: Readonly<Record<string, string>>): SpawnSyncReturns<string>;
  run(...args: readonly string[]): Promise<Finished>;
}

/** `main` with the mesh before; `change` with the mesh after; then `main` goes on, and takes away what it had. */
function repositoryOf(name: string): Repository {
  const repository = join(folder, name);
  const mesh = join(repository, "deploy");
  mkdirSync(mesh, { recursive: true });
  const git = (...args: readonly string[]): void => {
    const names = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    const { status, stderr } = spawnSync("git", [...names, ...args], { cwd: repository, encoding: "utf8" });
    assert.equal(status, 0, stderr);
  };
  git("init", "-q", "-b", "main");
  cpSync(BEFORE, mesh, { recursive: true });
  git("add", ".");
  git("commit", "-qm", "before");
  git("checkout", "-qb", "change");
  cpSync(AFTER, mesh, { recursive: true });
  git("commit", "-qam", "after");
  return {
    mesh,
    git,
    shell: (command, env = {}) =>
      spawnSync("bash", ["-c", command], {
        cwd: repository,
        encoding: "utf8",
        env: { ...process.env, ...env },
      }),
    run: (...args) => bulwarkWith(args, {}, repository),
  };
}

test("revisions of a repository are compared; one that is not known is told", async () => {
  const { run } = repositoryOf("revisions");
  const { code: status, stdout } = await run(
    "diff",
    "main..change",
    "--path",
    "deploy",
    "--fail-on",
    "widened",
  );
  assert.equal(status, 2);
  assert.match(stdout, /mutual TLS is no longer required/);
  assert.equal((await run("diff", "main..", "--path", "deploy", "--fail-on", "widened")).code, 2);
  const unknown = await run("diff", "nobody..change");
  assert.equal(unknown.code, 3);
  assert.match(unknown.stderr, /`nobody` is no file or folder here, and no revision that git knows/);
  assert.equal((await run("diff", "--", "--output=x..change")).code, 3);
  assert.equal((await run("diff", "--", "--output=x...change")).code, 3);
  assert.match((await run("diff", "nobody...change")).stderr, /nobody\.\.\.change: .*nobody/);
  assert.equal((await run("diff", "main....change")).code, 3);
});

test("OLD...NEW tells what NEW has changed since they parted, whatever OLD did meanwhile", async () => {
  const { mesh, git, run } = repositoryOf("parted");
  git("checkout", "-qb", "other", "main");
  writeFileSync(
    join(mesh, "closed.yaml"),
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: closed, namespace: shop}\nspec: {selector: {matchLabels: {app: batch}}}\n",
  );
  git("add", ".");
  git("commit", "-qm", "closed");
  const told = async (range: string): Promise<string> =>
    (await run("diff", range, "--path", "deploy")).stdout;
  assert.match(
    await told("other..change"),
    /AuthorizationPolicy shop\/closed was removed \(other:deploy\/closed\.yaml:\d+\)/,
  );
  assert.doesNotMatch(await told("other...change"), /shop\/closed/);
  assert.equal(await told("other...change"), await told("main..change"));
});

test("files of revisions are named as the repository has them, in errors, too", async () => {
  const { mesh, git, run } = repositoryOf("named");
  for (const format of ["text", "json", "markdown"]) {
    const { stdout } = await run("diff", "main..change", "--path", "deploy", "--format", format);
    assert.match(stdout, format === "json" ? /"deploy\/mesh\.yaml"/ : /\(deploy\/mesh\.yaml:75\)/);
    assert.ok(!stdout.includes(tmpdir()), stdout);
  }
  writeFileSync(join(mesh, "mesh.yaml"), "kind: a: b\n");
  git("commit", "-qam", "broken");
  const { code: status, stderr } = await run("diff", "change..main", "--path", "deploy");
  assert.equal(status, 3);
  assert.match(stderr, /^change:deploy\/mesh\.yaml:1:\d+: error/m);
});

test("a revision without the folder is an empty mesh, and it is said; a folder that none has is a mistake", async () => {
  const { git, run } = repositoryOf("first");
  git("checkout", "-q", "--orphan", "empty");
  git("rm", "-rqf", ".");
  git("commit", "-q", "--allow-empty", "-m", "nothing yet");
  git("checkout", "-qb", "creates");
  git("checkout", "-q", "main", "--", "deploy");
  git("commit", "-qm", "the first policies");
  const created = await run("diff", "empty...creates", "--path", "deploy", "--fail-on", "widened");
  assert.equal(created.code, 2, created.stderr);
  assert.match(created.stderr, /^note: [0-9a-f]{12} has no `deploy`: it is compared as an empty mesh$/m);
  assert.match(created.stdout, /^new workloads: shop\/web, shop\/batch, shop\/orders$/m);
  const removed = await run("diff", "creates..empty", "--path", "deploy");
  assert.equal(removed.code, 0, removed.stderr);
  assert.match(removed.stderr, /^note: empty has no `deploy`/m);
  const here = await run("diff", "empty", "deploy", "--path", "deploy");
  assert.equal(here.code, 0, here.stderr);
  for (const sides of [["empty..creates"], ["empty", "deploy"]]) {
    const misspelt = await run("diff", ...sides, "--path", "deplyo");
    assert.equal(misspelt.code, 3);
    assert.match(misspelt.stderr, /there is no `deplyo`/);
    assert.equal(misspelt.stdout, "");
  }
});

/** The command of a job in docs/diff.md, with Bulwark where it is here. */
function documentedCommand(pattern: RegExp): string {
  const [, command] = pattern.exec(readFileSync("docs/diff.md", "utf8")) ?? [];
  return (command ?? assert.fail(`no such command: ${pattern}`)).replace(
    ".bulwark/bin/bulwark",
    resolve("bin/bulwark"),
  );
}

test("the documented jobs' commands leave Markdown that names the weakening first, and stop the pull request", () => {
  const { mesh, git, shell } = repositoryOf("jobs");
  git("branch", "-q", "origin/main", "main");
  const jobs = [
    documentedCommand(/- run: (\.bulwark\/bin\/bulwark diff .*)/),
    documentedCommand(/- (\.bulwark\/bin\/bulwark diff "\$CI_MERGE.*)/),
  ];
  for (const command of jobs) {
    const env = { GITHUB_BASE_REF: "main", CI_MERGE_REQUEST_DIFF_BASE_SHA: "main" };
    const { status, stderr } = shell(command, env);
    assert.equal(status, 2, stderr);
    const { stdout: told } = shell("cat access.md");
    assert.match(told, /^## Access that this change gives and takes\n\n### Weaker authentication\n/);
    assert.ok(told.indexOf("### Wider egress") < told.indexOf("### Wider access"));
    git("checkout", "-q", "main");
    assert.equal(shell(command, env).status, 0);
    git("checkout", "-q", "change");
  }
  writeFileSync(join(mesh, "mesh.yaml"), "kind: a: b\n");
  git("commit", "-qam", "broken");
  assert.equal(shell(jobs[0] ?? "", { GITHUB_BASE_REF: "main" }).status, 3);
  assert.equal(shell("cat access.md").stdout, "");
});

test("--watch compares again when a file is saved, and ends in order when it is interrupted", async (t) => {
  const edited = join(folder, "edited");
  cpSync(BEFORE, edited, { recursive: true });
  const child = spawn(BULWARK, ["diff", BEFORE, edited, "--watch"], {
    env: { ...process.env, NO_COLOR: "1" },
  });
  t.after(() => child.kill("SIGKILL"));
  const ended = once(child, "exit");
  let seen = "";
  const waiting: { readonly wanted: RegExp; readonly resolve: () => void }[] = [];
  const look = (): void => {
    for (const { wanted, resolve } of waiting) if (wanted.test(seen)) resolve();
  };
  child.stdout.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
    look();
  });
  const until = (wanted: RegExp): Promise<void> =>
    new Promise((resolve) => {
      waiting.push({ wanted, resolve });
      look();
    });
  await until(/^no change of what workloads let through\n/);
  cpSync(AFTER, edited, { recursive: true });
  await until(/mutual TLS is no longer required/);
  child.kill("SIGINT");
  assert.deepEqual(await ended, [0, null]);
});

const OPEN = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders, namespace: shop}
spec: {selector: {matchLabels: {app: orders}}, mtls: {mode: DISABLE}}
`;

test("what a change says of its own files in .gitattributes hides none of them", async () => {
  const { run, git, mesh } = repositoryOf("attributes");
  git("checkout", "-q", "main");
  git("checkout", "-qb", "hiding");
  writeFileSync(join(mesh, "open.yaml"), OPEN);
  writeFileSync(join(mesh, ".gitattributes"), "open.yaml export-ignore\n*.yaml export-subst eol=crlf\n");
  git("add", "-A");
  git("commit", "-qm", "hiding");
  const { code: status, stdout } = await run(
    "diff",
    "main...hiding",
    "--path",
    "deploy",
    "--fail-on",
    "weakened",
  );
  assert.equal(status, 2);
  assert.match(stdout, /mutual TLS of the mesh is no longer used/);
  assert.match(stdout, /because PeerAuthentication shop\/orders was added \(deploy\/open\.yaml:4\)/);
});

test("a submodule's files are not read: another commit of it is unclear, the same is said", async () => {
  const { run, git } = repositoryOf("with-submodule");
  const commit = (object: string): void => {
    git("update-index", "--add", "--cacheinfo", `160000,${object.repeat(40)},deploy/policies`);
    git("commit", "-qm", object);
  };
  commit("1");
  git("tag", "one");
  commit("2");
  const moved = await run("diff", "one..HEAD", "--path", "deploy", "--fail-on", "weakened");
  assert.equal(moved.code, 2);
  assert.match(moved.stdout, /not compared: submodule deploy\/policies was changed/);
  const same = await run("diff", "one..one", "--path", "deploy", "--fail-on", "changed");
  assert.equal(same.code, 0);
  assert.match(same.stderr, /`deploy\/policies` is a submodule: its files are not read/);
});

test("a link of a revision leads to its own files, and to none of this machine", async () => {
  const { run, git, mesh } = repositoryOf("links");
  git("checkout", "-q", "main");
  symlinkSync("mesh.yaml", join(mesh, "same.yaml"));
  git("add", "-A");
  git("commit", "-qm", "inside");
  const inside = await run("diff", "main..main", "--path", "deploy");
  // Read twice: the mesh's objects are there already.
  assert.doesNotMatch(inside.stderr, /outside of what is compared/);
  const outside = join(folder, "outside.yaml");
  writeFileSync(outside, OPEN);
  for (const target of [outside, "../../outside.yaml"]) {
    rmSync(join(mesh, "same.yaml"));
    symlinkSync(target, join(mesh, "same.yaml"));
    git("add", "-A");
    git("commit", "-qm", "outside");
    const { code: status, stderr } = await run("diff", "main..main", "--path", "deploy");
    assert.equal(status, 3);
    assert.match(stderr, /`deploy\/same\.yaml` is a link to `.*outside\.yaml`, outside of what is compared/);
  }
});

test("links that lead out together are refused as one that does, and a revision that is not there leaves nothing behind", () => {
  const { git, mesh } = repositoryOf("chained");
  git("checkout", "-q", "main");
  const places = join(folder, "chained-places");
  mkdirSync(join(mesh, "d1/d2"), { recursive: true });
  mkdirSync(places);
  writeFileSync(join(places, "outside.yaml"), OPEN);
  symlinkSync("../..", join(mesh, "d1/d2/up"));
  symlinkSync("d1/d2/up/../../outside.yaml", join(mesh, "leak.yaml"));
  git("add", "-A");
  git("commit", "-qm", "chained");
  const compare = (...args: readonly string[]) =>
    spawnSync(resolve("bin/bulwark"), ["diff", ...args], {
      cwd: join(mesh, ".."),
      encoding: "utf8",
      env: { ...process.env, TMPDIR: places },
    });
  const leaking = compare("main..main", "--path", "deploy");
  assert.equal(leaking.status, 3, leaking.stderr);
  assert.match(leaking.stderr, /outside of what is compared/);
  assert.equal(compare("change..nosuch").status, 3);
  assert.deepEqual(
    readdirSync(places).filter((name) => name.startsWith("bulwark-diff-")),
    [],
  );
});

test("an interrupted comparison of revisions leaves none of their files behind, and ends as shells expect", async () => {
  const { mesh } = repositoryOf("interrupted");
  const places = join(folder, "places");
  mkdirSync(places);
  const child = spawn(resolve("bin/bulwark"), ["diff", "main..change"], {
    cwd: join(mesh, ".."),
    env: { ...process.env, TMPDIR: places },
  });
  const ended = once(child, "exit");
  while (readdirSync(places).length < 2 && child.exitCode === null) await setTimeout(1);
  child.kill("SIGTERM");
  const [code] = (await ended) as [number | null];
  // One that was quicker than the signal has ended in order.
  assert.ok(code === 143 || code === 0, String(code));
  assert.deepEqual(readdirSync(places), []);
});

test("a folder of the repository is named as the repository has it", async () => {
  const { run, mesh } = repositoryOf("absolute");
  const { code: status, stderr } = await run("diff", "main..change", "--path", mesh);
  assert.equal(status, 3);
  assert.match(stderr, /name it as the repository does, relative to where you are/);
});

test("a reader that goes away takes no verdict with it", () => {
  const { shell } = repositoryOf("unread");
  const bin = resolve("bin/bulwark");
  const examples = resolve("examples");
  const commands = [
    `diff main..change --path deploy --fail-on weakened --format json`,
    `verify ${examples}/verify --builtin no-plaintext`,
  ];
  for (const command of commands) {
    const read = shell(`${bin} ${command} >/dev/null 2>&1; echo $?`).stdout;
    const unread = shell(`${bin} ${command} 2>/dev/null | true; echo \${PIPESTATUS[0]}`).stdout;
    assert.deepEqual([command, unread], [command, read]);
    assert.equal(read, "2\n", command);
  }
});

test("nothing is proven, nor without change, by files of which a kustomization makes something else", async () => {
  const built = join(folder, "built");
  cpSync(BEFORE, built, { recursive: true });
  const kustomization = join(built, "kustomization.yaml");
  const head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [mesh.yaml]\n";
  const verify = () => bulwark("verify", built, "--builtin", "no-plaintext");
  writeFileSync(kustomization, head);
  assert.equal((await bulwark("diff", BEFORE, built, "--fail-on", "changed")).code, 0);
  assert.equal((await verify()).code, 0);
  writeFileSync(kustomization, `${head}patches: [{path: open.yaml}]\n`);
  const { code, stdout, stderr } = await bulwark("diff", BEFORE, built, "--fail-on", "weakened");
  assert.equal(code, 2);
  assert.match(stdout, /not analysed: .*: a kustomization makes something else of the files/);
  assert.match(stderr, /kustomization\.yaml:4:\d+: warning BW1018_KUSTOMIZATION: .*`patches`/);
  const proof = await verify();
  assert.equal(proof.code, 2);
  assert.match(proof.stdout, /0 proven, 0 violated, 1 not proven/);
});
