import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openCa } from "../../../src/identity/ca.ts";
import { RECORDS } from "../../../src/identity/ca-state.ts";
import { BINDING } from "../../../src/identity/store/bind-store.ts";
import type { TrustDomain } from "../../../src/model/spiffe-id.ts";

const DOMAIN = "cluster.local" as TrustDomain;

function stateFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-bind-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function openAndClose(folder: string, trustDomain = DOMAIN): Promise<void> {
  await (await openCa(folder, { trustDomain })).close();
}

function removeRecords(folder: string): void {
  for (const end of ["", "-wal", "-shm"]) rmSync(join(folder, "ca", RECORDS + end), { force: true });
}

test("records that vanished are not begun anew: revocations would be forgotten", async (context) => {
  const folder = stateFolder(context);
  await openAndClose(folder);
  await openAndClose(folder);
  removeRecords(folder);
  await assert.rejects(openAndClose(folder), { code: "BW_CA_STORE_LOST" });
  await assert.rejects(
    openAndClose(folder),
    { code: "BW_CA_STORE_LOST" },
    "the empty file of before counts no more",
  );
  rmSync(join(folder, "ca", BINDING));
  await openAndClose(folder);
});

test("the records of another CA are refused", async (context) => {
  const [own, other] = [stateFolder(context), stateFolder(context)];
  await openAndClose(own);
  await openAndClose(other);
  writeFileSync(join(own, "ca", BINDING), `${DOMAIN} ${"0".repeat(32)}\n`, { mode: 0o600 });
  await assert.rejects(openAndClose(own), { code: "BW_CA_STORE_FOREIGN" });
});

test("a kill between the store's name and the folder's is made good at the next start", async (context) => {
  const folder = stateFolder(context);
  await openAndClose(folder);
  rmSync(join(folder, "ca", BINDING));
  await openAndClose(folder);
  removeRecords(folder);
  await assert.rejects(openAndClose(folder), { code: "BW_CA_STORE_LOST" });
});

test("two that begin at once agree", async (context) => {
  const folder = stateFolder(context);
  await openAndClose(folder);
  rmSync(join(folder, "ca", BINDING));
  await Promise.all([openAndClose(folder), openAndClose(folder)]);
  await openAndClose(folder);
});
