/**
 * The recorded decisions of real Istio and Envoy, asked of our own proxies over real sockets: mutual TLS, SOCKS5, bytes as
 * recorded. Needs root: every case plays in a private network in which all of its addresses exist.
 */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { LIVE_DIFFERENCES } from "../../tools/corpus/live-differences.ts";
import { runLive } from "../../tools/corpus/run-live.ts";
import { complaint } from "../../tools/corpus/runner.ts";

const shared = resolve(import.meta.dirname, "../../../shared");
/** The corpora as they are: fewer cases would be no test. */
const RECORDED = { corpus: 4415, "corpus-outbound": 1698 };

for (const [corpus, recorded] of Object.entries(RECORDED))
  test(`our proxies answer every request of ${corpus} live as was recorded, but for the listed differences`, async (t) => {
    const cases = (await runLive(join(shared, corpus))) ?? assert.fail("no live runner");
    const decisions = cases.flatMap((own) => own.decisions);
    assert.ok(decisions.length >= recorded, `${decisions.length} requests were sent`);
    for (const { name } of LIVE_DIFFERENCES) {
      const count = decisions.filter(({ difference }) => difference === name).length;
      if (count > 0) t.diagnostic(`${count} of ${decisions.length} differ by ${name}`);
      assert.ok(
        corpus !== "corpus" || count > 0,
        `nothing differs by ${name} any more: take it off the list`,
      );
    }
    const complaints = cases.flatMap(({ name, decisions }) =>
      decisions.flatMap((own) => complaint(own) ?? []).map((text) => `${name}/${text}`),
    );
    assert.deepEqual(complaints, []);
  });
