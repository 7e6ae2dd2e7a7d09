import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createServer as createRawServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type FetchKeysOptions, fetchKeys } from "../../../src/control/jwks/fetch-keys.ts";
import { type Located, parseKeyAccess } from "../../../src/control/jwks/key-access.ts";
import { locateHost } from "../../../src/control/jwks/locate-host.ts";
import type { KeySource } from "../../../src/policy/jwt/key-source.ts";
import { keySource } from "../../../src/policy/jwt/key-source.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { openStandInAuthority, STAND_IN_CA_FILE } from "../../../src/substrate/stand-in-authority.ts";
import { type Answer, issuerKey, jwksOf, KeyServer, text } from "./key-server.ts";

const key = issuerKey("k1");
const LOOPBACK: FetchKeysOptions = {
  access: parseKeyAccess(["127.0.0.1"]),
  locate: (url) => locateHost(url, undefined),
  standInCaPem: () => null,
};
const DEFAULT: FetchKeysOptions = { ...LOOPBACK, access: parseKeyAccess([]) };

const servers: KeyServer[] = [];
after(() => Promise.all(servers.map((server) => server.stop())));

async function serve(answer: Answer): Promise<KeyServer> {
  const server = await KeyServer.start(answer);
  servers.push(server);
  return server;
}

function source(url: string, timeoutMs = 2000): KeySource {
  return { id: url, kind: "jwks", url, timeoutMs };
}

async function outcome(promise: Promise<{ keyIds: readonly string[] }>): Promise<string> {
  try {
    return (await promise).keyIds.join(",");
  } catch (error) {
    assert.ok(error instanceof BulwarkError, String(error));
    return `${error.code}: ${error.message}`;
  }
}

test("keys are fetched; what is secret, symmetric or unknown among them stays behind", async () => {
  const keys = [
    { ...key.jwk, d: "secret", extra: "x" },
    { kty: "oct", k: "c2VjcmV0", kid: "shared" },
    { kty: "AKP", kid: "new" },
    { kty: "RSA", n: "AQAB", kid: "no-exponent" },
    "no key",
  ];
  const server = await serve(text(JSON.stringify({ keys })));
  const document = await fetchKeys(source(server.url()), LOOPBACK);
  assert.deepEqual(document.keyIds, ["k1"]);
  assert.deepEqual(JSON.parse(document.text), { keys: [key.jwk] });
});

test("an answer that is no set of public keys is refused: garbage, a page, an error, an empty set, too many, another charset", async () => {
  const bad: readonly (readonly [string, Answer])[] = [
    ["BW_JWKS_INVALID", text("")],
    ["BW_JWKS_INVALID", text("<html>")],
    ["BW_JWKS_INVALID", text("[]")],
    ["BW_JWKS_INVALID", text("null")],
    ["BW_JWKS_INVALID", text('{"keys": {}}')],
    ["BW_JWKS_INVALID", text('{"keys": []}')],
    ["BW_JWKS_INVALID", text(JSON.stringify({ keys: Array.from({ length: 101 }, () => key.jwk) }))],
    ["BW_JWKS_FETCH_FAILED: the answer is 500", text(jwksOf(key), 500)],
    ["BW_JWKS_FETCH_FAILED: the answer is 404", text(jwksOf(key), 404)],
    ["BW_JWKS_FETCH_FAILED: the answer is 304", text("", 304)],
    [
      "BW_JWKS_FETCH_FAILED: the answer is not UTF-8",
      (_, response) => response.end(Buffer.from([0xff, 0xfe])),
    ],
    [
      "BW_JWKS_FETCH_FAILED: the answer is compressed",
      (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(jwksOf(key))),
    ],
    ["BW_JWKS_FETCH_FAILED", (_, response) => response.destroy()],
    [
      "BW_JWKS_FETCH_FAILED",
      (_, response) => response.writeHead(101, { upgrade: "x", connection: "upgrade" }).end(),
    ],
  ];
  const server = await serve(text(""));
  for (const [expected, answer] of bad) {
    server.answer = answer;
    const got = await outcome(fetchKeys(source(server.url()), LOOPBACK));
    assert.ok(got.startsWith(expected), `${got}, not ${expected}`);
  }
});

test("an answer without end is cut off at its limit, declared or not", async () => {
  const server = await serve((_request, response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 32))) {}
    };
    response.on("drain", more);
    more();
  });
  const got = await outcome(fetchKeys(source(server.url(), 10_000), LOOPBACK));
  assert.match(got, /longer than 1048576 bytes/);
});

test("a server that is slow in any part has the rule's time for all of it", async () => {
  const slow: readonly Answer[] = [
    () => {},
    (_, response) => response.writeHead(200).write("{"),
    (_, response) => {
      const drip = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(drip));
    },
    (request, response) => {
      setTimeout(() => response.writeHead(302, { location: `${request.url}x` }).end(), 150);
    },
  ];
  const server = await serve(text(""));
  for (const answer of slow) {
    server.answer = answer;
    const startedMs = performance.now();
    const got = await outcome(fetchKeys(source(server.url(), 300), LOOPBACK));
    assert.match(got, /BW_JWKS_FETCH_FAILED: no whole answer in time/);
    // Without the limit the drip would go on for ever.
    assert.ok(performance.now() - startedMs < 15_000);
  }
});

test("a server that accepts and says nothing, or speaks no HTTP, fails in time", async () => {
  const sockets = new Set<Socket>();
  const raw = createRawServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => socket.write("hello\r\n\r\n"));
  });
  await new Promise<void>((done) => raw.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(raw.address() as AddressInfo).port}/`;
  assert.match(await outcome(fetchKeys(source(url, 500), LOOPBACK)), /HPE_/);
  for (const socket of sockets) socket.destroy();
  raw.close();
  assert.match(await outcome(fetchKeys(source(url, 500), LOOPBACK)), /ECONNREFUSED/);
});

test("redirects of the same server are followed, loops are not, and their targets are held to the rules", async () => {
  const server = await serve((request, response) => {
    const paths: Readonly<Record<string, string>> = {
      "/moved": "/keys",
      "/loop": "/loop",
      "/metadata": "http://169.254.169.254/latest/meta-data/",
      "/inside": "http://10.0.0.1/keys",
      "/mapped": "http://[::ffff:169.254.169.254]/",
      "/decimal": "http://2852039166/",
      "/file": "file:///etc/passwd",
      "/gopher": "gopher://127.0.0.1/",
      "/user": "http://a:b@127.0.0.1/",
      "/outside-in-clear": "http://192.0.3.1/keys",
    };
    const location = paths[request.url ?? ""];
    if (location === undefined) response.end(jwksOf(key));
    else response.writeHead(302, { location }).end();
  });
  assert.equal(await outcome(fetchKeys(source(server.url("/moved")), LOOPBACK)), "k1");
  assert.match(await outcome(fetchKeys(source(server.url("/loop")), LOOPBACK)), /more than 3 redirects/);
  for (const path of [
    "/metadata",
    "/inside",
    "/mapped",
    "/decimal",
    "/file",
    "/gopher",
    "/user",
    "/outside-in-clear",
  ])
    assert.match(await outcome(fetchKeys(source(server.url(path)), LOOPBACK)), /^BW_JWKS_FORBIDDEN/, path);
});

test("by default neither loopback, nor link-local, nor metadata, nor clear text is fetched from, however it is written", async () => {
  const server = await serve(text(jwksOf(key)));
  for (const url of [
    server.url(),
    "https://127.0.0.1/keys",
    "https://localhost/keys",
    "https://0x7f.1/keys",
    "https://0/keys",
    "https://[::1]/keys",
    "https://[::]/keys",
    "https://169.254.169.254/latest",
    "https://[fd00:ec2::254]/latest",
    "https://[fe80::1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://224.0.0.1/",
    "http://10.0.0.1/keys",
    "http://192.0.3.1/keys",
  ])
    assert.match(await outcome(fetchKeys(source(url), DEFAULT)), /^BW_JWKS_FORBIDDEN/, url);
  assert.deepEqual(server.asked, []);
});

test("a policy may name an issuer in a private network; another server may not point there", async () => {
  const dialled: string[] = [];
  const located =
    (addresses: readonly string[]): FetchKeysOptions["locate"] =>
    (url) => {
      dialled.push(url.hostname);
      const place: Located = { place: "outside", addresses, port: 1 };
      return Promise.resolve(place);
    };
  // Not refused by the rules: nobody listens there, so dialling is what fails.
  const direct = fetchKeys(source("https://keycloak.corp/keys", 200), {
    ...DEFAULT,
    locate: located(["10.255.255.1"]),
  });
  assert.match(await outcome(direct), /^BW_JWKS_FETCH_FAILED/);
  const discovery = await serve(text(JSON.stringify({ jwks_uri: "https://inside.corp/keys" })));
  const pointed = fetchKeys(
    { ...source(discovery.url()), kind: "discovery" },
    {
      ...LOOPBACK,
      locate: (url) =>
        url.hostname === "127.0.0.1" ? locateHost(url, undefined) : located(["10.0.0.9"])(url),
    },
  );
  assert.match(await outcome(pointed), /^BW_JWKS_FORBIDDEN.*another server pointed to it/);
});

test("a name is looked up once: the address that was checked is the one that is dialled, and one bad address refuses all", async () => {
  const server = await serve(text(jwksOf(key)));
  let lookUps = 0;
  const rebinding: FetchKeysOptions["locate"] = () => {
    lookUps += 1;
    const addresses = lookUps === 1 ? ["127.0.0.1"] : ["169.254.169.254"];
    return Promise.resolve({ place: "outside", addresses, port: server.port });
  };
  const options = { ...LOOPBACK, locate: rebinding };
  assert.equal(await outcome(fetchKeys(source("http://rebinding.example/keys"), options)), "k1");
  assert.equal(lookUps, 1);
  const mixed = () =>
    Promise.resolve({
      place: "outside" as const,
      addresses: ["127.0.0.1", "169.254.169.254"],
      port: server.port,
    });
  assert.match(
    await outcome(fetchKeys(source("http://mixed.example/keys"), { ...LOOPBACK, locate: mixed })),
    /^BW_JWKS_FORBIDDEN/,
  );
});

test("discovery: the issuer's configuration names the URL; garbage there, or no URL, is refused", async () => {
  const server = await serve((request, response) => {
    if (request.url === "/realm/.well-known/openid-configuration")
      response.end(JSON.stringify({ issuer: server.url("/realm"), jwks_uri: server.url("/realm/certs") }));
    else if (request.url === "/realm/certs") response.end(jwksOf(key));
    else response.end("{}");
  });
  for (const issuer of [server.url("/realm"), server.url("/realm/")]) {
    const discovered = keySource("", issuer, 2000);
    assert.ok(discovered !== null);
    assert.equal(await outcome(fetchKeys(discovered, LOOPBACK)), "k1");
  }
  const other = keySource("", server.url("/other"), 2000);
  assert.ok(other !== null);
  assert.match(await outcome(fetchKeys(other, LOOPBACK)), /BW_JWKS_INVALID: no `jwks_uri`/);
  assert.equal(keySource("", "testing@secure.istio.io", 2000), null);
});

test("https: the server's certificate must be for the URL's host and of a root that is trusted", async () => {
  const folder = mkdtempSync(join(tmpdir(), "jwks-tls-"));
  const authority = openStandInAuthority(folder);
  const caPem = readFileSync(join(folder, STAND_IN_CA_FILE), "utf8");
  const secure = createSecureServer(
    {
      SNICallback: (name, done) =>
        done(
          null,
          authority.secureContext(name === "wrong.example" ? "other.example" : name, "keys.example"),
        ),
    },
    (_request, response) => response.end(jwksOf(key)),
  );
  await new Promise<void>((done) => secure.listen(0, "127.0.0.1", done));
  const { port } = secure.address() as AddressInfo;
  const at = (place: Located["place"]): FetchKeysOptions => ({
    ...LOOPBACK,
    locate: () => Promise.resolve({ place, addresses: ["127.0.0.1"], port }),
    standInCaPem: () => caPem,
  });
  assert.equal(await outcome(fetchKeys(source("https://keys.example/"), at("stand-in"))), "k1");
  assert.match(
    await outcome(fetchKeys(source("https://wrong.example/"), at("stand-in"))),
    /ERR_TLS_CERT_ALTNAME_INVALID/,
  );
  assert.match(
    await outcome(fetchKeys(source("https://keys.example/"), at("outside"))),
    /UNABLE_TO_VERIFY|SELF_SIGNED/,
  );
  secure.closeAllConnections();
  secure.close();
  rmSync(folder, { recursive: true, force: true });
});

test("what the operator allows is read strictly", () => {
  assert.equal(parseKeyAccess(["10.0.0.0/8", "::1", "keys.corp"]).blocks.length, 2);
  for (const bad of ["10.0.0.0/33", "http://x", "a/b", "", "300.1.1.1"])
    assert.throws(() => parseKeyAccess([bad]), { code: "BW_CLI_INPUT" }, bad);
});
