import assert from "node:assert/strict";
import { test } from "node:test";
import { checkAccess, type Located, parseKeyAccess } from "../../../src/control/jwks/key-access.ts";
import { locateHost } from "../../../src/control/jwks/locate-host.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Placement } from "../../../src/model/placement.ts";
import { resource } from "../../policy/inbound-fixture.ts";

const labels = { app: "keycloak" };
const container = { name: "keycloak", ports: [{ name: "web", containerPort: 8443 }] };
const mesh = buildMesh([
  resource(
    "Pod",
    "keycloak",
    {},
    { labels, body: { metadata: { labels }, spec: { containers: [container] } } },
  ),
  resource("Service", "keycloak", {
    selector: labels,
    ports: [{ name: "https", port: 443, targetPort: 8443 }],
  }),
]);
const placement: Placement = {
  pods: [{ name: "keycloak-0", workload: "foo/keycloak", replica: 0, address: "127.3.4.5" }],
  standIns: [
    { host: "*.example", address: "127.9.0.1" },
    { host: "login.example", address: "127.9.0.2" },
  ],
  privilegedPortOffset: 61_000,
};
const known = { mesh, placement, simulated: true };
const locate = (url: string): Promise<Located> => locateHost(new URL(url), known);

test("a Service of the mesh is asked at its pods, by every name that a cluster's DNS gives it", async () => {
  for (const host of ["keycloak.foo", "keycloak.foo.svc", "keycloak.foo.svc.cluster.local", "KEYCLOAK.foo."])
    assert.deepEqual(await locate(`https://${host}/certs`), {
      place: "mesh",
      addresses: ["127.3.4.5"],
      port: 8443,
    });
  await assert.rejects(locate("https://keycloak.foo:9999/certs"), { code: "BW_JWKS_UNRESOLVED" });
  await assert.rejects(locate("https://keycloak/certs"), { code: "BW_JWKS_UNRESOLVED" });
});

test("a host that is simulated is asked at its stand-in, the most exact one; with stand-ins no other exists", async () => {
  assert.deepEqual(await locate("https://login.example/keys"), {
    place: "stand-in",
    addresses: ["127.9.0.2"],
    port: 61_443,
  });
  assert.deepEqual((await locate("http://a.example:8080/")).addresses, ["127.9.0.1"]);
  await assert.rejects(locate("https://www.iana.org/"), { code: "BW_JWKS_UNRESOLVED" });
});

test("hosts of the mesh are asked in clear text too, but not because a server outside pointed there", async () => {
  const url = new URL("http://keycloak.foo:443/certs");
  const located = await locate(url.href);
  const access = parseKeyAccess([]);
  checkAccess(access, url, located, undefined);
  checkAccess(access, url, located, new URL("http://keycloak.foo:443/.well-known/openid-configuration"));
  const outsider = new URL("https://issuer.example/");
  assert.throws(() => checkAccess(access, url, located, outsider), { code: "BW_JWKS_FORBIDDEN" });
  checkAccess(parseKeyAccess(["keycloak.foo"]), url, located, outsider);
});

test("a host that the operator allows may be private and in clear text, but never link-local or loopback", () => {
  const access = parseKeyAccess(["keys.corp"]);
  const at = (address: string): Located => ({ place: "outside", addresses: [address], port: 80 });
  const url = new URL("http://keys.corp/");
  checkAccess(access, url, at("10.0.0.1"), new URL("https://issuer.example/"));
  for (const address of ["169.254.169.254", "127.0.0.1", "::1", "fd00:ec2::254", "not an address"])
    assert.throws(
      () => checkAccess(access, url, at(address), undefined),
      { code: "BW_JWKS_FORBIDDEN" },
      address,
    );
  assert.throws(() => checkAccess(parseKeyAccess([]), url, at("10.0.0.1"), undefined), {
    code: "BW_JWKS_FORBIDDEN",
  });
});
