/** `experimental.envoy.filters.*`: metadata of filters that nobody here knows. Unknown where that turns the answer, and never let through. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type DecideOptions, decide } from "../../../src/policy/decide.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { authorizationText, podText } from "./journey-text.ts";

const POD = podText("a", "s", { ip: "10.0.0.2", ports: [8080, 9000] });
const METADATA = { key: "experimental.envoy.filters.network.mysql_proxy[db.table]", values: ["[update]"] };
const NOT_METADATA = { key: METADATA.key, notValues: METADATA.values };

async function told(spec: object, protocol: "http" | "tcp" = "http", options: DecideOptions = {}) {
  const request = {
    from: { principal: "cluster.local/ns/a/sa/c" },
    to: { workload: "a/s", port: 9000 },
    protocol,
  };
  const text = POD + authorizationText("a", "p", spec);
  const { allowed, reason, cause } = await decide(meshOf(text), request, options);
  return `${allowed ? "allowed" : "refused"} ${reason}/${cause}`;
}
const rule = (when: object, more: object = {}) => ({ rules: [{ when: [when], ...more }] });
const deny = (when: object, more: object = {}) => ({ action: "DENY", ...rule(when, more) });
const OTHERS = { to: [{ operation: { ports: ["1"] } }] };

for (const protocol of ["http", "tcp"] as const) {
  test(`${protocol}: what hangs on a filter's metadata is unknown, for ALLOW and DENY, values and notValues`, async () => {
    for (const when of [METADATA, NOT_METADATA])
      for (const spec of [rule(when), deny(when)])
        assert.equal(await told(spec, protocol), "refused unknown/metadata-unknown", JSON.stringify(spec));
  });

  test(`${protocol}: what does not hang on it is known all the same`, async () => {
    assert.equal(await told(deny(METADATA, OTHERS), protocol), "allowed ok/no-allow-policies");
    assert.equal(await told(rule(METADATA, OTHERS), protocol), "refused rbac/no-allow-matched");
    const either = { rules: [{}, { when: [METADATA] }] };
    assert.equal(await told(either, protocol), "allowed ok/allow-matched");
    const denied = { action: "DENY", rules: [{}, { when: [METADATA] }] };
    assert.equal(await told(denied, protocol), "refused rbac/deny-matched");
  });

  test(`${protocol}: strict semantics refuse whatever hangs on it`, async () => {
    const strict = { semantics: "strict" } as const;
    for (const when of [METADATA, NOT_METADATA]) {
      assert.equal(await told(rule(when), protocol, strict), "refused rbac/no-allow-matched");
      assert.equal(await told(deny(when), protocol, strict), "refused rbac/deny-matched");
    }
    assert.equal(await told(deny(METADATA, OTHERS), protocol, strict), "allowed ok/no-allow-policies");
  });
}

test("the explanation names what is asked for", async () => {
  const request = { from: { principal: null }, to: { workload: "a/s", port: 8080 } };
  const { explanation } = await decide(meshOf(POD + authorizationText("a", "p", rule(METADATA))), request);
  assert.match(explanation.join("\n"), /metadata of an Envoy filter/);
});
