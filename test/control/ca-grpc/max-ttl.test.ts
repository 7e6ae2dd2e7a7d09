import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { CaAccessConfiguration } from "../../../src/control/ca-grpc/ca-access-configuration.ts";
import type { CaOptions } from "../../../src/identity/ca.ts";
import { type AskOptions, CaFixture, chainOf, identityOf } from "./ca-fixture.ts";

const INVALID_ARGUMENT = 3;

async function opened(
  t: TestContext,
  change: Partial<CaAccessConfiguration>,
  ca: Partial<CaOptions> = {},
): Promise<CaFixture> {
  const fixture = await CaFixture.open(change, ca);
  t.after(() => fixture.close());
  return fixture;
}

/** How long the certificate lives that this request is granted. */
async function lifeSeconds(fixture: CaFixture, options: AskOptions): Promise<number> {
  const answer = await fixture.ask(options);
  assert.equal(answer.status, 0, answer.message);
  const leaf = new X509Certificate(chainOf(answer)[0] ?? assert.fail());
  return (Date.parse(leaf.validTo) - Date.now()) / 1000;
}

async function refusesTtl(fixture: CaFixture, options: AskOptions): Promise<void> {
  const answer = await fixture.ask(options);
  assert.equal(answer.status, INVALID_ARGUMENT);
  assert.match(answer.message, /BW_CA_TTL_TOO_LONG/);
  const last = await fixture.lastAudit();
  assert.deepEqual([last.kind, last.code, last.serial], ["refused", "BW_CA_TTL_TOO_LONG", null]);
}

function about(actual: number, expected: number): void {
  assert.ok(actual <= expected && actual > expected - 60, `lives ${actual} s, not ${expected} s`);
}

test("the maximum lifetime is granted, a second more is an error as in istiod and no shorter certificate", async (t) => {
  const fixture = await opened(t, { oidc: [] }, { maxTtlSeconds: 7200 });
  const token = await fixture.token();
  about(await lifeSeconds(fixture, { token, ttlSeconds: 7200 }), 7200);
  await refusesTtl(fixture, { token, ttlSeconds: 7201 });
  await refusesTtl(fixture, { token, ttlSeconds: 2 ** 52 });
  const certificate = await fixture.issued(identityOf("payroll"));
  await refusesTtl(fixture, { certificate, ttlSeconds: 7201 });
});

test("who names no lifetime is given the default, or the maximum where that is less", async (t) => {
  const short = await opened(t, { oidc: [] }, { maxTtlSeconds: 3600 });
  about(await lifeSeconds(short, { token: await short.token() }), 3600);
  const long = await opened(t, { oidc: [] }, { maxTtlSeconds: 200 * 86_400 });
  about(await lifeSeconds(long, { token: await long.token() }), 86_400);
  about(await lifeSeconds(long, { token: await long.token(), ttlSeconds: 100 * 86_400 }), 100 * 86_400);
});

test("an issuer's own maximum holds for its tokens and not for those of others", async (t) => {
  const fixture = await opened(t, {});
  const limited = await opened(t, { oidc: [{ ...fixture.oidcRule(false), maxTtlSeconds: 600 }] });
  const token = await fixture.oidcToken();
  about(await lifeSeconds(limited, { token, ttlSeconds: 600 }), 600);
  about(await lifeSeconds(limited, { token }), 600);
  await refusesTtl(limited, { token, ttlSeconds: 601 });
  about(await lifeSeconds(limited, { token: await limited.token(), ttlSeconds: 601 }), 601);
});

test("a certificate is no way around an issuer's maximum: it renews for the least of them", async (t) => {
  const fixture = await opened(t, {});
  const limited = await opened(t, { oidc: [{ ...fixture.oidcRule(false), maxTtlSeconds: 600 }] });
  const certificate = await limited.issued(identityOf("auditor"));
  about(await lifeSeconds(limited, { certificate, ttlSeconds: 600 }), 600);
  await refusesTtl(limited, { certificate, ttlSeconds: 601 });
  const token = await fixture.oidcToken();
  await refusesTtl(limited, { certificate, token, ttlSeconds: 601 });
});
