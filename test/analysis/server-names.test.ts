/** Server names of TLS in the space of requests: under strict semantics those that the proxies read, and no others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ServerSpace } from "../../src/analysis/space/server-space.ts";
import { parseDnsName } from "../../src/dataplane/codec/dns-name.ts";
import type { Semantics } from "../../src/policy/inbound.ts";
import { authorization, policyOf } from "../policy/inbound-fixture.ts";

const SEED = 20_261_122;

function serverNames(semantics: Semantics, values: readonly string[]) {
  const rules = [{ when: [{ key: "connection.sni", values }] }];
  const space = new ServerSpace([policyOf([authorization("a", { rules })], semantics)]);
  const place = space.placeOf("sni") ?? assert.fail("no dimension of server names");
  const dimension = space.dimensions[place];
  return dimension?.kind === "text" ? dimension.texts : assert.fail("server names are texts");
}

test("strict: every example of a server name is one that the proxies read, or none at all", () => {
  const part = fc.constantFrom("a", "-", ".", "..", "1", "example", "_", "x-1", "$", "*.", "0");
  const value = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(""));
  const pattern = fc.oneof(
    value.filter((text) => !text.includes("*")),
    value.filter((text) => !text.includes("*")).map((text) => `*${text}`),
    value.filter((text) => !text.includes("*")).map((text) => `${text}*`),
  );
  fc.assert(
    fc.property(fc.array(pattern, { minLength: 1, maxLength: 4 }), (values) => {
      for (const { sample } of serverNames("strict", values).cells)
        assert.ok(sample === "" || parseDnsName(sample) === sample, sample);
    }),
    { seed: SEED, numRuns: 200 },
  );
});

test("strict: names that the proxies read have their cell, others none; Istio's take any", () => {
  const [strict, istio] = [serverNames("strict", ["*.example.com"]), serverNames("istio", ["*.example.com"])];
  for (const name of ["", "www.example.com", "outbound_.80_._.httpbin", "a-b.c1", "x"]) {
    assert.notEqual(strict.cellOf(name), undefined, name);
    assert.notEqual(istio.cellOf(name), undefined, name);
  }
  for (const name of [".example.com", "a..example.com", "-.example.com", "example.", "127.0.0.1", "12"]) {
    assert.equal(strict.cellOf(name), undefined, name);
    assert.notEqual(istio.cellOf(name), undefined, name);
  }
});
