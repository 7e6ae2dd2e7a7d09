/** Where the Secrets are that Gateways and DestinationRules name (pilot/pkg/credentials/model of istio/istio). */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parseReference,
  resolveCredential,
  rootsOfCredential,
} from "../../../src/policy/outbound/credential.ts";

const NAMES: readonly [written: string, name: string][] = [
  ["cert", "cert"],
  ["kubernetes://cert", "cert"],
  ["edge/cert", "cert"],
  ["kubernetes://edge/cert", "cert"],
  ["edge/", ""],
  ["foo/cert", "foo/cert"],
  ["kubernetes://foo/cert", "kubernetes://foo/cert"],
  ["/cert", "/cert"],
  ["edge/a/b", "a/b"],
  ["kubernetes:///cert", "kubernetes:///cert"],
];
for (const [written, name] of NAMES)
  test(`a proxy in namespace edge takes \`${written}\` for its own namespace's Secret \`${name}\``, () => {
    assert.deepEqual(resolveCredential(written, "edge"), { namespace: "edge", name });
  });

test("a reference is taken apart at its first slash", () => {
  assert.deepEqual(parseReference("edge/cert"), { namespace: "edge", name: "cert" });
});

test("roots are in the Secret with -cacert after the name, else beside the certificate", () => {
  assert.deepEqual(rootsOfCredential({ namespace: "edge", name: "cert" }), [
    { namespace: "edge", name: "cert-cacert" },
    { namespace: "edge", name: "cert" },
  ]);
});
