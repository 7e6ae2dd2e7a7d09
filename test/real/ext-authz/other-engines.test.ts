/** OPA and Cedar as authorizers of a mesh, as the examples' readers start them: what they allow, deny, add, and what holds without them. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, suite, test } from "node:test";
import { type CallReport, LiveMesh, temporaryFolder, until } from "../live-mesh.ts";
import { program, run } from "../programs.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const EXAMPLES = join(ROOT, "examples/authorizers");
const CACHE = join(ROOT, ".cache/authorizers");
/** Modules are fetched and compiled where CI has not done so before. */
const BUILD_MS = 600_000;

/** @returns the command that serves. */
async function buildOpa(): Promise<string> {
  const built = join(CACHE, "opa-authorizer");
  const env = { ...process.env, CGO_ENABLED: "0" };
  const options = { cwd: join(EXAMPLES, "opa/authorizer"), timeoutMs: BUILD_MS, env };
  const { code, stderr } = await run(program("go"), ["build", "-o", built, "."], options);
  assert.equal(code, 0, stderr);
  const files = ["policy.rego", "data.json"].map((name) => join(EXAMPLES, "opa", name));
  return [built, ...files].join(" ");
}

/** In a copy: what npm installs has no place in the sources. */
async function installCedar(): Promise<string> {
  const folder = join(CACHE, "cedar");
  mkdirSync(folder, { recursive: true });
  cpSync(join(EXAMPLES, "cedar"), folder, { recursive: true });
  const args = ["ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { code, stderr } = await run(program("npm"), args, { cwd: folder, timeoutMs: BUILD_MS });
  assert.equal(code, 0, stderr);
  const files = ["authorizer.ts", "policy.cedar", "entities.json"].map((name) => join(folder, name));
  return [process.execPath, ...files].join(" ");
}

const ENGINES = [
  { name: "opa", install: buildOpa, refusal: "no rule lets you do this" },
  { name: "cedar", install: installCedar, refusal: "no policy lets you do this" },
];

for (const { name, install, refusal } of ENGINES) {
  suite(name, () => {
    let mesh: LiveMesh;
    let stopped: string;
    const folder = temporaryFolder();
    before(
      async () => {
        mkdirSync(CACHE, { recursive: true });
        const serve = await install();
        stopped = join(folder, "stopped");
        const run = join(folder, "run.sh");
        // What is killed is started again: while `stopped` is there, as something that serves nothing.
        writeFileSync(run, `[ -e ${stopped} ] && exec sleep 3600\nexec ${serve}\n`);
        mesh = await LiveMesh.up([join(EXAMPLES, name, "mesh"), "--app", `security/${name}=exec sh ${run}`]);
        await until(async () => (await status("shop/web", "/")) === 200, "the authorizer serves");
      },
      { timeout: BUILD_MS },
    );
    after(async () => {
      await mesh?.dispose();
      rmSync(folder, { recursive: true, force: true });
    });

    const call = (from: string, path: string, ...args: readonly string[]): Promise<CallReport> =>
      mesh.call(from, `http://orders.shop${path}`, ...args);
    const status = async (from: string, path: string, ...args: readonly string[]): Promise<number> =>
      (await call(from, path, ...args)).answer.status;

    test("what its policies allow is answered, and what they do not is refused with their reason", async () => {
      assert.equal(await status("shop/web", "/orders/globex/7", "--method", "POST"), 200);
      assert.equal(await status("shop/web", "/orders/globex/7", "--method", "DELETE"), 403);
      assert.equal(await status("partners/acme", "/orders/acme/7?page=2"), 200);
      assert.equal(await status("partners/acme", "/orders/acme/7", "--method", "POST"), 403);
      for (const path of [
        "/orders/globex/7",
        "/orders/acme%2f..%2fglobex/7",
        "/orders/acme/../globex/7",
        "/",
      ]) {
        const { answer, refusal: record } = await call("partners/acme", path);
        assert.deepEqual([answer.status, answer.body], [403, refusal], path);
        assert.deepEqual([record?.reason, record?.authorizer?.provider], ["ext-authz-denied", name]);
      }
      const { answer } = await call("partners/globex", "/orders/globex/7");
      assert.deepEqual([answer.status, answer.body], [402, "this account is suspended"]);
    });

    test("headers both ways: the application sees the engine's word in place of the caller's, the caller who decided", async () => {
      const forged = ["--header", "x-customer: globex", "--header", "x-debug: 1"];
      const { answer } = await call("partners/acme", "/orders/acme/7", ...forged);
      const { headers } = JSON.parse(answer.body) as { headers: Readonly<Record<string, string>> };
      assert.deepEqual([headers["x-customer"], headers["x-debug"]], ["acme", undefined]);
      assert.deepEqual(told(answer, "x-decided-by"), [name]);
      assert.deepEqual(told(answer, "x-denied-by"), []);
      const denied = await call("partners/acme", "/orders/globex/7");
      assert.deepEqual(told(denied.answer, "x-denied-by"), [name]);
    });

    test("killed: Orders refuses, Catalog fails open and says so; and both ask again when it is back", async () => {
      const catalog = () => mesh.call("partners/acme", "http://catalog.shop/orders/globex/7");
      assert.equal((await catalog()).answer.status, 403);
      writeFileSync(stopped, "");
      killAuthorizer();
      await until(async () => (await status("shop/web", "/")) === 403, "the authorizer is gone");
      const { refusal: record } = await call("shop/web", "/");
      assert.deepEqual([record?.reason, record?.authorizer?.answer], ["ext-authz-failed", "error"]);
      const open = await catalog();
      assert.equal(open.answer.status, 200);
      assert.ok(open.flows.some(({ authorizer }) => authorizer?.failedOpen === true));
      rmSync(stopped);
      killAuthorizer();
      await until(async () => (await status("shop/web", "/")) === 200, "the authorizer is back");
      assert.equal((await catalog()).answer.status, 403);
    });

    function killAuthorizer(): void {
      const app = mesh.children.find(({ name: booked }) => booked === `app security/${name}-0`);
      process.kill(app?.pid ?? assert.fail(`no such child: ${JSON.stringify(mesh.children)}`), "SIGKILL");
    }
  });
}

function told({ headers }: CallReport["answer"], wanted: string): readonly string[] {
  return headers.filter(([field]) => field.toLowerCase() === wanted).map(([, value]) => value);
}
