import { join } from "node:path";
import { test } from "node:test";
import { SqliteCaStore } from "../../../src/identity/store/sqlite-ca-store.ts";
import { temporaryFolder } from "../mesh-fixture.ts";
import { killRounds } from "./kill-rounds.ts";

test("SQLite: kill -9 at any moment loses nothing that was acknowledged, and the order of revocations has no gap", async (t) => {
  const address = join(temporaryFolder(t), "records.sqlite");
  await killRounds({ address, open: () => SqliteCaStore.open(address) });
});
