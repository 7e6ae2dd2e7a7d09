import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createStateFolder, type StateFolder } from "../../../src/control/state-folder.ts";
import { tokenFile } from "../../../src/control/token-file.ts";
import { TokenFiles } from "../../../src/control/token-files.ts";
import type { PodAssignment } from "../../../src/substrate/assignment.ts";
import { until } from "../until.ts";

const RENEWAL_MS = 6 * 3_600_000;
const WAIT_MS = 30_000;

function pod(account: string): PodAssignment {
  return {
    name: `${account}-0`,
    namespace: "bank",
    workload: `bank/${account}`,
    replica: 0,
    address: "127.0.0.1",
    uid: `uid-${account}`,
    serviceAccount: account,
    spiffeId: identityOf(account),
    role: "application",
    proxied: true,
    outboundSecret: "",
    applicationPorts: [],
  };
}

function identityOf(account: string): string {
  return `spiffe://cluster.local/ns/bank/sa/${account}`;
}

interface Opened {
  readonly state: StateFolder;
  readonly tokens: TokenFiles;
}

async function open(context: TestContext): Promise<Opened> {
  const root = mkdtempSync(join(tmpdir(), "tokens-"));
  const state = createStateFolder(root);
  const tokens = await TokenFiles.open(state, (message) => assert.fail(message));
  context.after(() => {
    tokens.close();
    rmSync(root, { recursive: true, force: true });
  });
  await tokens.apply([pod("teller"), pod("auditor")]);
  return { state, tokens };
}

function tokenOf({ state }: Opened, account: string): string {
  return readFileSync(tokenFile(state, `bank/${account}-0`), "utf8");
}

function issuedAtMs(token: string): number {
  const [, claims = ""] = token.split(".");
  return (JSON.parse(Buffer.from(claims, "base64url").toString()) as { readonly iat: number }).iat * 1000;
}

test("the regular renewal passes over identities that are cut off, and renews the others", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const opened = await open(context);
  const [teller, auditor] = [tokenOf(opened, "teller"), tokenOf(opened, "auditor")];
  await opened.tokens.cutOff(identityOf("teller"), Date.now() + 1);
  context.mock.timers.tick(RENEWAL_MS);
  await until(() => tokenOf(opened, "auditor") !== auditor, WAIT_MS);
  assert.equal(tokenOf(opened, "teller"), teller);
});

test("restored, an identity's pods have tokens that were issued after its cut-off, and are renewed again", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const opened = await open(context);
  const cutOffMs = Date.now() + 1;
  await opened.tokens.cutOff(identityOf("teller"), cutOffMs);
  await opened.tokens.restore(identityOf("teller"));
  const restored = tokenOf(opened, "teller");
  assert.ok(issuedAtMs(restored) >= cutOffMs, "whole seconds must not put it before the cut-off");
  const auditor = tokenOf(opened, "auditor");
  context.mock.timers.tick(RENEWAL_MS);
  await until(() => tokenOf(opened, "teller") !== restored, WAIT_MS);
  // The renewal's last file: the folder is removed after the test.
  await until(() => tokenOf(opened, "auditor") !== auditor, WAIT_MS);
});

test("a cut-off that is told after a token of its second was issued has it written anew, or it would be refused for good", async (context) => {
  // Not at the very beginning of a second, so that there is an earlier moment in it.
  await until(() => Date.now() % 1000 > 20, WAIT_MS);
  const opened = await open(context);
  const [teller, auditor] = [tokenOf(opened, "teller"), tokenOf(opened, "auditor")];
  const cutOffMs = issuedAtMs(teller) + 1;
  await opened.tokens.cutOff(identityOf("teller"), cutOffMs);
  assert.ok(issuedAtMs(tokenOf(opened, "teller")) >= cutOffMs);
  assert.equal(tokenOf(opened, "auditor"), auditor);
  await opened.tokens.cutOff(identityOf("auditor"), issuedAtMs(auditor) - 1);
  assert.equal(tokenOf(opened, "auditor"), auditor, "issued after it, as everybody can see");
  await opened.tokens.cutOff(identityOf("auditor"), Date.now() + 1);
  assert.equal(tokenOf(opened, "auditor"), auditor, "issued before it: revoked");
});
