/** Bundles as they travel: an endpoint of ours, followers of it, and servers that lie to them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { BundleEndpoint, bundleEndpointId } from "../../../src/control/trust-bundle/bundle-endpoint.ts";
import { BundleFollower } from "../../../src/control/trust-bundle/bundle-follower.ts";
import { type FederatedDomain, parseFederate } from "../../../src/control/trust-bundle/federation-option.ts";
import { fetchBundle } from "../../../src/control/trust-bundle/fetch-bundle.ts";
import { TrustBundles } from "../../../src/control/trust-bundle/trust-bundles.ts";
import {
  parseSpiffeBundle,
  printSpiffeBundle,
  type TrustBundle,
} from "../../../src/identity/spiffe-bundle.ts";
import { CertificateForge } from "../../../tools/corpus/live-certificates.ts";
import { temporaryFolder, testCa, trustDomain } from "../../identity/mesh-fixture.ts";
import { TestAuthority, type TestLeaf } from "../../identity/test-authority.ts";
import { until } from "../until.ts";

const NAME = trustDomain("b.example");
const ID = bundleEndpointId(NAME);
const authority = TestAuthority.root(NAME);
const signal = new AbortController().signal;

function bundleOf(roots: readonly Buffer[], sequence = 1, refreshHintSeconds = 300): TrustBundle {
  return { trustDomain: NAME, x509Authorities: roots, jwtAuthorities: [], sequence, refreshHintSeconds };
}

/** A server of `https_spiffe` or `https_web` that says what a test wants. */
async function serve(
  context: TestContext,
  { key, cert }: Pick<TestLeaf, "key" | "cert">,
  answer: () => string | { status: number; location?: string },
) {
  const server = createServer({ key, cert }, (_request, response) => {
    const said = answer();
    if (typeof said === "string") response.end(said);
    else
      response.writeHead(said.status, said.location === undefined ? {} : { location: said.location }).end();
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function spiffeDomain(port: number, file = "/none"): FederatedDomain & { readonly url: URL } {
  const domain = parseFederate(
    `${NAME}=https://127.0.0.1:${port}/,profile=https_spiffe,id=${ID},bundle=${file}`,
  );
  return { ...domain, url: domain.url ?? assert.fail() };
}

test("an endpoint of ours is believed under https_spiffe by its roots and its name, and its certificate is renewed", async (context) => {
  const ca = await testCa(context, { trustDomain: NAME });
  const folder = temporaryFolder(context);
  const bundles = new TrustBundles({
    trustDomain: NAME,
    x509Authorities: () => ca.trustBundle,
    jwtKeys: undefined,
    file: join(folder, "sequence.json"),
    documentFile: join(folder, "bundle.json"),
    refreshHintSeconds: 60,
    onWarning: assert.fail,
  });
  const endpoint = await BundleEndpoint.open({
    host: "127.0.0.1",
    port: 0,
    profile: "https_spiffe",
    certFile: undefined,
    keyFile: undefined,
    bundles,
    ca,
    ttlSeconds: 2,
    onWarning: assert.fail,
  });
  context.after(async () => {
    bundles.close();
    await endpoint.close();
  });
  const domain = spiffeDomain(endpoint.port);
  const known = bundleOf(ca.trustBundle);
  const fetched = await fetchBundle(domain, known, signal);
  assert.deepEqual(fetched, { ...bundleOf(ca.trustBundle, 1, 60) });
  // Past the end of its first certificate.
  const end = Date.now() + 3000;
  const again = () =>
    fetchBundle(domain, known, signal).then(
      ({ sequence }) => sequence === 1,
      () => false,
    );
  await until(async () => Date.now() > end && (await again()), 30_000);
  await assert.rejects(
    fetchBundle({ ...domain, endpointId: bundleEndpointId(trustDomain("c.example")) }, known, signal),
    /another than the named/,
  );
  await assert.rejects(fetchBundle(domain, bundleOf([authority.root]), signal), {
    code: "BW_TRUST_BUNDLE_FETCH",
  });
  await assert.rejects(fetchBundle(domain, bundleOf([]), signal), /no roots yet/);
  const post = await fetch(`https://127.0.0.1:${endpoint.port}/`, { method: "POST" }).then(
    ({ status }) => status,
    () => 0,
  );
  assert.equal(post, 0, "the web's roots do not know it");
});

test("https_spiffe refuses a workload that is not the endpoint, a certificate of the web, redirects, errors and what is no bundle", async (context) => {
  const known = bundleOf([authority.root]);
  const good = printSpiffeBundle(known);
  const right = authority.leaf(ID);
  const wrong = authority.leaf(`spiffe://${NAME}/ns/a/sa/b`);
  const web = CertificateForge.alone().pem(["127.0.0.1"]);
  let said: string | { status: number; location?: string } = good;
  const ask = async (leaf: Pick<TestLeaf, "key" | "cert">) =>
    fetchBundle(spiffeDomain(await serve(context, leaf, () => said)), known, signal);
  assert.deepEqual(await ask(right), known);
  await assert.rejects(ask(wrong), { code: "BW_TRUST_BUNDLE_FETCH" });
  await assert.rejects(ask({ key: web.privateKey, cert: web.certificateChain }), {
    code: "BW_TRUST_BUNDLE_FETCH",
  });
  for (const [answer, code] of [
    [{ status: 404 }, "BW_TRUST_BUNDLE_FETCH"],
    [{ status: 302, location: "https://127.0.0.1/" }, "BW_TRUST_BUNDLE_FETCH"],
    ["not a bundle", "BW_TRUST_BUNDLE_INVALID"],
    [JSON.stringify({ keys: "x".repeat(1 << 20) }), "BW_TRUST_BUNDLE_FETCH"],
  ] as const) {
    said = answer;
    await assert.rejects(ask(right), { code });
  }
});

test("https_web believes the web's roots and those named, for the host of the URL", async (context) => {
  const forge = CertificateForge.alone();
  const pem = forge.pem(["localhost"]);
  const ca = join(temporaryFolder(context), "ca.pem");
  writeFileSync(ca, forge.rootPem);
  const bundle = bundleOf([authority.root]);
  const port = await serve(context, { key: pem.privateKey, cert: pem.certificateChain }, () =>
    printSpiffeBundle(bundle),
  );
  const ask = (host: string, more: string) => {
    const domain = parseFederate(`${NAME}=https://${host}:${port}/,profile=https_web${more}`);
    return fetchBundle({ ...domain, url: domain.url ?? assert.fail() }, undefined, signal);
  };
  assert.deepEqual(await ask("localhost", `,ca=${ca}`), bundle);
  await assert.rejects(ask("127.0.0.1", `,ca=${ca}`), { code: "BW_TRUST_BUNDLE_FETCH" });
  await assert.rejects(ask("localhost", ""), { code: "BW_TRUST_BUNDLE_FETCH" });
});

test("a follower takes newer bundles, refuses older ones, goes on over an outage, and starts with what it had last", async (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, "start.json");
  const second = TestAuthority.root(NAME);
  writeFileSync(file, printSpiffeBundle(bundleOf([authority.root], 5, 1)));
  // Signed by the second root from its second answer on, as after a rotation: only who took the first answer can go on.
  let published: string | { status: number } = printSpiffeBundle(
    bundleOf([authority.root, second.root], 6, 1),
  );
  const port = await serve(context, authority.leaf(ID), () => published);
  const taken: TrustBundle[] = [];
  const warnings: string[] = [];
  const start = (bundleFile = file) => {
    const follower = new BundleFollower({
      domain: spiffeDomain(port, bundleFile),
      folder,
      leastMs: 20,
      onBundle: (bundle) => taken.push(bundle),
      onWarning: (message) => warnings.push(message),
    });
    context.after(() => follower.stop());
    follower.start();
    return follower;
  };
  const follower = start();
  assert.deepEqual(
    taken.map(({ sequence }) => sequence),
    [5],
    "its file, before anyone was asked",
  );
  await until(() => taken.at(-1)?.sequence === 6);
  published = printSpiffeBundle(bundleOf([authority.root], 4, 1));
  await until(() => warnings.length > 0);
  assert.match(warnings[0] ?? "", /b\.example: .*older.* stays in force/);
  assert.equal(taken.at(-1)?.sequence, 6);
  published = { status: 500 };
  published = printSpiffeBundle(bundleOf([authority.root, second.root], 7, 1));
  await until(() => taken.at(-1)?.sequence === 7);
  assert.match(warnings.at(-1) ?? "", /is had again/);
  follower.stop();
  taken.length = 0;
  published = { status: 500 };
  start().stop();
  assert.deepEqual(
    taken.map(({ sequence }) => sequence),
    [7],
    "what was had last, not the file of the beginning",
  );
  writeFileSync(file, printSpiffeBundle(bundleOf([second.root], 1, 1)));
  start().stop();
  assert.deepEqual(taken.at(-1)?.x509Authorities, [second.root], "another file is a new start");
  writeFileSync(file, "wreck");
  assert.throws(() => start(), { code: "BW_TRUST_BUNDLE_INVALID" });
  assert.throws(() => start(join(folder, "absent.json")), { code: "BW_TRUST_BUNDLE_FILE" });
});

test("the sequence number of the own bundle rises with each change, also over a restart, and with nothing else", async (context) => {
  const file = join(temporaryFolder(context), "sequence.json");
  let roots = [authority.root];
  const open = () => {
    const bundles = new TrustBundles({
      trustDomain: NAME,
      x509Authorities: () => roots,
      jwtKeys: undefined,
      file,
      documentFile: `${file}.document`,
      refreshHintSeconds: 300,
      onWarning: assert.fail,
    });
    context.after(() => bundles.close());
    return bundles;
  };
  const first = open();
  assert.equal(first.own.sequence, 1);
  const changes: string[] = [];
  first.watch((change) => changes.push(change));
  await first.refresh();
  assert.deepEqual([first.own.sequence, changes], [1, []]);
  roots = [authority.root, TestAuthority.root(NAME).root];
  await first.refresh();
  assert.deepEqual([first.own.sequence, changes], [2, ["own"]]);
  assert.equal(open().own.sequence, 2);
  roots = [authority.root];
  assert.equal(open().own.sequence, 3);
  assert.deepEqual(parseSpiffeBundle(NAME, printSpiffeBundle(open().own)).x509Authorities, roots);
  const document = readFileSync(`${file}.document`, "utf8");
  assert.deepEqual(parseSpiffeBundle(NAME, document), open().own);
});
