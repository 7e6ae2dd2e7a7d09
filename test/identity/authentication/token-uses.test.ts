import assert from "node:assert/strict";
import { test } from "node:test";
import { TokenUses } from "../../../src/identity/authentication/token-uses.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";

const NOW = 1_000_000;
const use = (tokenKey: string, peerAddress: string | undefined, ownAddresses: readonly string[] = []) => ({
  tokenKey,
  peerAddress,
  ownAddresses,
  notAfterMs: NOW + 1000,
});

function codeOf(attempt: () => void): string {
  try {
    attempt();
    return "none";
  } catch (error) {
    return error instanceof BulwarkError ? error.code : assert.fail(String(error));
  }
}

test("a token is its first peer's, as often as that one shows it, and nobody else's", () => {
  const uses = new TokenUses({ singleUse: false });
  uses.use(use("t", "10.0.0.1"), NOW);
  uses.use(use("t", "10.0.0.1"), NOW);
  assert.equal(
    codeOf(() => uses.use(use("t", "10.0.0.2"), NOW)),
    "BW_TOKEN_REPLAYED",
  );
  assert.equal(
    codeOf(() => uses.use(use("other", "10.0.0.2"), NOW)),
    "none",
  );
});

test("where a pod's addresses are known they decide, from the first time on", () => {
  const uses = new TokenUses({ singleUse: false });
  const own = ["10.0.0.1", "fd00::1"];
  assert.equal(
    codeOf(() => uses.use(use("t", "10.0.0.2", own), NOW)),
    "BW_TOKEN_REPLAYED",
  );
  for (const address of own)
    assert.equal(
      codeOf(() => uses.use(use("t", address, own), NOW)),
      "none",
    );
});

test("a token that was shown without an address, as on a Unix socket, is its first address's from then on", () => {
  const uses = new TokenUses({ singleUse: false });
  const show = (address: string | undefined) => codeOf(() => uses.use(use("t", address), NOW));
  assert.deepEqual(
    [show(undefined), show("10.0.0.2"), show(undefined), show("10.0.0.2")],
    Array(4).fill("none"),
  );
  assert.equal(show("10.0.0.3"), "BW_TOKEN_REPLAYED");
});

test("a token for single use is refused the second time, by anybody", () => {
  const uses = new TokenUses({ singleUse: true });
  uses.use(use("t", "10.0.0.1"), NOW);
  assert.equal(
    codeOf(() => uses.use(use("t", "10.0.0.1"), NOW)),
    "BW_TOKEN_REPLAYED",
  );
});

test("a full memory forgets the eldest reusable token, and never one for single use: what is new is refused", () => {
  const reusable = new TokenUses({ singleUse: false, capacity: 2 });
  for (const key of ["a", "b", "c"]) reusable.use(use(key, "10.0.0.1"), NOW);
  assert.equal(reusable.size, 2);
  const single = new TokenUses({ singleUse: true, capacity: 2 });
  for (const key of ["a", "b"]) single.use(use(key, "10.0.0.1"), NOW);
  assert.equal(
    codeOf(() => single.use(use("c", "10.0.0.1"), NOW)),
    "BW_TOKEN_REPLAY_UNKNOWN",
  );
  assert.equal(
    codeOf(() => single.use(use("a", "10.0.0.1"), NOW)),
    "BW_TOKEN_REPLAYED",
  );
  assert.equal(
    codeOf(() => single.use({ ...use("c", "10.0.0.1"), notAfterMs: NOW + 9000 }, NOW + 2000)),
    "none",
  );
});
