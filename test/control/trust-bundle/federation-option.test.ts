import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import {
  parseBundleEndpoint,
  parseFederate,
  parseFederation,
} from "../../../src/control/trust-bundle/federation-option.ts";

test("--federate reads an endpoint of either profile, and a file alone", () => {
  const spiffe = parseFederate(
    "b.example=https://127.0.0.1:8443/b,profile=https_spiffe,id=spiffe://b.example/x,bundle=b.json",
  );
  assert.deepEqual(
    { ...spiffe, url: spiffe.url?.href },
    {
      trustDomain: "b.example",
      url: "https://127.0.0.1:8443/b",
      profile: "https_spiffe",
      endpointId: "spiffe://b.example/x",
      bundleFile: resolve("b.json"),
      caFile: undefined,
    },
  );
  const web = parseFederate("b.example=https://b.example/bundle,profile=https_web,ca=ca.pem");
  assert.deepEqual([web.profile, web.caFile, web.bundleFile], ["https_web", resolve("ca.pem"), undefined]);
  const file = parseFederate("b.example=bundle=/b.json");
  assert.deepEqual([file.url, file.bundleFile], [undefined, "/b.json"]);
});

test("--federate refuses what would be trusted by mistake", () => {
  const url = "https://b.example/b";
  for (const text of [
    "",
    url,
    `B.example=${url},profile=https_web`,
    "b.example=http://b.example/b,profile=https_web",
    "b.example=https://user:secret@b.example/b,profile=https_web",
    `b.example=${url}`,
    `b.example=${url},profile=https`,
    `b.example=${url},profile=https_web,id=spiffe://b.example/x`,
    `b.example=${url},profile=https_web,profile=https_web`,
    `b.example=${url},profile=https_web,extra=1`,
    `b.example=${url},profile=https_spiffe,bundle=b.json`,
    `b.example=${url},profile=https_spiffe,id=spiffe://b.example/x`,
    `b.example=${url},profile=https_spiffe,id=spiffe://b.example,bundle=b.json`,
    `b.example=${url},profile=https_spiffe,id=spiffe://c.example/x,bundle=b.json`,
    `b.example=${url},profile=https_spiffe,id=spiffe://b.example/x,bundle=`,
    "cluster.local=bundle=b.json",
  ])
    assert.throws(() => parseFederate(text), { code: "BW_CLI_INPUT" }, text);
  assert.throws(() => parseFederation(["b.example=bundle=1", "b.example=bundle=2"]), /twice/);
  assert.equal(parseFederation(["b.example=bundle=1", "c.example=bundle=2"]).length, 2);
});

test("--bundle-endpoint is on loopback, with a certificate where the web's is asked for and only there", () => {
  assert.deepEqual(parseBundleEndpoint("127.0.0.1:8443,profile=https_spiffe"), {
    host: "127.0.0.1",
    port: 8443,
    profile: "https_spiffe",
    certFile: undefined,
    keyFile: undefined,
  });
  assert.equal(parseBundleEndpoint("[::1]:0,profile=https_web,cert=c,key=k").host, "::1");
  for (const text of [
    "0.0.0.0:8443,profile=https_spiffe",
    "127.0.0.1,profile=https_spiffe",
    "127.0.0.1:99999,profile=https_spiffe",
    "127.0.0.1:8443",
    "127.0.0.1:8443,profile=https_web",
    "127.0.0.1:8443,profile=https_web,cert=c",
    "127.0.0.1:8443,profile=https_spiffe,cert=c,key=k",
  ])
    assert.throws(() => parseBundleEndpoint(text), { code: "BW_CLI_INPUT" }, text);
});
