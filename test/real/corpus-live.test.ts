/**
 * The recorded decisions of real Istio, Envoy and ztunnel, asked of our own proxies over real sockets: mutual TLS, SOCKS5, HBONE,
 * the kernel's redirection, bytes as recorded. Needs root: every case plays in a private network in which all of its addresses exist.
 */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { CLOSED_IN_STRICT } from "../../tools/corpus/live-ambient.ts";
import { LIVE_DIFFERENCES } from "../../tools/corpus/live-differences.ts";
import { runLive } from "../../tools/corpus/run-live.ts";
import { type CorpusDecision, complaint, type DecidedCase } from "../../tools/corpus/runner.ts";

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
    assert.deepEqual(complaintsOf(cases), []);
  });

/** Each connection is made under Istio's semantics, and again under strict ones. */
const RECORDED_AMBIENT = 2641;

test("our ztunnel answers every connection of corpus-ambient live as was recorded, and strict semantics close what Istio leaves open", async (t) => {
  const cases = (await runLive(join(shared, "corpus-ambient"))) ?? assert.fail("no live runner");
  const decisions = cases.flatMap((own) => own.decisions);
  assert.ok(decisions.length >= 2 * RECORDED_AMBIENT, `${decisions.length} connections were made`);
  const closed = decisions.filter(({ difference }) => difference === CLOSED_IN_STRICT);
  t.diagnostic(
    `${closed.length} of ${decisions.length / 2} connections are closed by strict semantics alone`,
  );
  assert.ok(closed.length > 0, "nothing is closed by strict semantics any more");
  assert.deepEqual(
    closed.filter((own) => !isClosing(own)),
    [],
  );
  assert.deepEqual(complaintsOf(cases), []);
});

function isClosing({ expected, actual }: CorpusDecision): boolean {
  return (
    expected.allowed === true && actual.allowed === false && actual.reason === "rbac" && actual.records === 1
  );
}

function complaintsOf(cases: readonly DecidedCase[]): readonly string[] {
  return cases.flatMap(({ name, decisions }) =>
    decisions.flatMap((own) => complaint(own) ?? []).map((text) => `${name}/${text}`),
  );
}
