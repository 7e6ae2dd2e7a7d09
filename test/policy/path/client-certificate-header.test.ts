/** X-Forwarded-Client-Cert as rules at the server see it: what its own proxy says of the client. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../../src/policy/decide.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { authorizationText, barePodText, peerText, podText, serviceText } from "./journey-text.ts";

const PODS =
  podText("a", "c", { ip: "10.0.0.1" }) +
  barePodText("a", "bare", { ip: "10.0.0.3" }) +
  podText("a", "s", { ip: "10.0.0.2" }) +
  serviceText("a", "s");

async function isSeen(
  value: string,
  from: string,
  headers: readonly (readonly [string, string])[] = [],
): Promise<boolean> {
  const when = [{ key: "request.headers[x-forwarded-client-cert]", values: [value] }];
  const policy = authorizationText("a", "p", { selector: { matchLabels: { app: "s" } }, rules: [{ when }] });
  const permissive = peerText("a", "m", { mtls: { mode: "PERMISSIVE" } });
  const request = { from: { workload: from }, to: { host: "s.a", port: 80 }, headers };
  const { allowed } = await decide(meshOf(PODS + permissive + policy), request, { compareModes: false });
  return allowed;
}

test("a sidecar writes the client's identity and its own", async () => {
  assert.equal(await isSeen("*;URI=spiffe://cluster.local/ns/a/sa/c", "a/c"), true);
  assert.equal(await isSeen("By=spiffe://cluster.local/ns/a/sa/s;*", "a/c"), true);
  assert.equal(await isSeen("*;URI=spiffe://cluster.local/ns/a/sa/other", "a/c"), false);
});

test("of a client without a certificate nothing is written", async () => {
  assert.equal(await isSeen("*", "a/bare"), false);
  assert.equal(await isSeen("*", "a/c"), true);
});

test("what the application itself says ends at its own sidecar", async () => {
  const forged = [["x-forwarded-client-cert", "By=forged;URI=spiffe://cluster.local/ns/a/sa/admin"]] as const;
  assert.equal(await isSeen("By=forged*", "a/c", forged), false);
  assert.equal(await isSeen("By=forged*", "a/bare", forged), false);
  assert.equal(await isSeen("By=spiffe://cluster.local/ns/a/sa/s;*", "a/c", forged), true);
});
