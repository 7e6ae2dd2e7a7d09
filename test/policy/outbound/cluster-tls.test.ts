/** The TLS that a client opens: https://istio.io/latest/docs/reference/config/networking/destination-rule/#ClientTLSSettings */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { chooseTls, type TlsChoice, type TlsContext } from "../../../src/policy/outbound/cluster-tls.ts";
import type { ClientTlsSettings } from "../../../src/policy/outbound/resource-shapes.ts";

const ID = "spiffe://cluster.local/ns/foo/sa/web";
const SNI = "outbound_.80_._.web.foo.svc.cluster.local";

/** A Kubernetes service in the mesh, seen by a sidecar. */
const IN_MESH: TlsContext = {
  identities: [ID],
  defaultSni: SNI,
  fromServiceEntry: false,
  autoMutual: true,
  mayUseCredentials: false,
};
const NO_AUTO: TlsContext = { ...IN_MESH, autoMutual: false };
const ENTRY: TlsContext = { ...NO_AUTO, fromServiceEntry: true };
/** A wildcard host whose names are resolved as requests come. */
const { defaultSni: _none, ...RESOLVES_NAMES } = { ...ENTRY, identities: [] };

const CLEAR: TlsChoice = { automatic: false };

const MUTUAL = {
  mode: "mtls",
  sni: SNI,
  sans: [ID],
  sniFromAuthority: false,
  sansFromAuthority: false,
  insecureSkipVerify: false,
} as const;

const OPEN = {
  mode: "simple",
  sniFromAuthority: true,
  sansFromAuthority: true,
  insecureSkipVerify: false,
} as const;

describe("where no DestinationRule asks for anything", () => {
  test("mutual TLS is used where the servers take it, to the identities of the service", () => {
    assert.deepEqual(chooseTls(undefined, IN_MESH), { settings: MUTUAL, automatic: true });
  });
  test("the connection is in clear where they do not", () => {
    assert.deepEqual(chooseTls(undefined, NO_AUTO), CLEAR);
  });
});

describe("modes", () => {
  const CASES: readonly [name: string, asked: ClientTlsSettings, context: TlsContext, choice: TlsChoice][] = [
    ["DISABLE is clear, whatever the servers take", { mode: "DISABLE" }, IN_MESH, CLEAR],
    ["settings without a mode are DISABLE", { sni: "own.example" }, IN_MESH, CLEAR],
    [
      "ISTIO_MUTUAL does not ask what the servers take",
      { mode: "ISTIO_MUTUAL" },
      NO_AUTO,
      { settings: MUTUAL, automatic: false },
    ],
    [
      "ISTIO_MUTUAL with empty fields is as without them",
      { mode: "ISTIO_MUTUAL", sni: "", subjectAltNames: [] },
      NO_AUTO,
      { settings: MUTUAL, automatic: false },
    ],
    [
      "ISTIO_MUTUAL with its own names checks those in place of the identities",
      { mode: "ISTIO_MUTUAL", sni: "own.example", subjectAltNames: ["spiffe://own"] },
      NO_AUTO,
      { settings: { ...MUTUAL, sni: "own.example", sans: ["spiffe://own"] }, automatic: false },
    ],
    [
      "ISTIO_MUTUAL keeps verifying when told not to: insecureSkipVerify is for SIMPLE and MUTUAL",
      { mode: "ISTIO_MUTUAL", insecureSkipVerify: true },
      NO_AUTO,
      { settings: MUTUAL, automatic: false },
    ],
    [
      "ISTIO_MUTUAL uses the mesh's certificates whatever files are named",
      { mode: "ISTIO_MUTUAL", caCertificates: "/ca", clientCertificate: "/crt", privateKey: "/key" },
      NO_AUTO,
      { settings: MUTUAL, automatic: false },
    ],
    [
      "ISTIO_MUTUAL to a host whose names are resolved takes both names from the request",
      { mode: "ISTIO_MUTUAL" },
      RESOLVES_NAMES,
      {
        settings: {
          mode: "mtls",
          sniFromAuthority: true,
          sansFromAuthority: true,
          insecureSkipVerify: false,
        },
        automatic: false,
      },
    ],
    [
      "ISTIO_MUTUAL there, told not to verify, does not ask for the request's name",
      { mode: "ISTIO_MUTUAL", sni: "own.example", insecureSkipVerify: true },
      RESOLVES_NAMES,
      {
        settings: {
          mode: "mtls",
          sni: "own.example",
          sniFromAuthority: false,
          sansFromAuthority: false,
          insecureSkipVerify: false,
        },
        automatic: false,
      },
    ],
    [
      "SIMPLE without names takes both from the request, and does not know identities of Kubernetes services",
      { mode: "SIMPLE" },
      NO_AUTO,
      { settings: OPEN, automatic: false },
    ],
    ["SIMPLE is no matter of auto mTLS", { mode: "SIMPLE" }, IN_MESH, { settings: OPEN, automatic: false }],
    [
      "MUTUAL is SIMPLE with a certificate of the client's",
      { mode: "MUTUAL", clientCertificate: "/crt", privateKey: "/key", caCertificates: "/ca" },
      NO_AUTO,
      {
        settings: {
          ...OPEN,
          mode: "mutual",
          clientCertificate: "/crt",
          privateKey: "/key",
          caCertificates: "/ca",
        },
        automatic: false,
      },
    ],
    [
      "empty files are no files",
      {
        mode: "MUTUAL",
        clientCertificate: "",
        privateKey: "",
        caCertificates: "",
        credentialName: "",
        sni: "",
        subjectAltNames: [],
      },
      NO_AUTO,
      { settings: { ...OPEN, mode: "mutual" }, automatic: false },
    ],
    [
      "a server name that is given is sent, and no name of the request's is checked beside it",
      { mode: "SIMPLE", sni: "own.example" },
      NO_AUTO,
      {
        settings: { ...OPEN, sni: "own.example", sniFromAuthority: false, sansFromAuthority: false },
        automatic: false,
      },
    ],
    [
      "names to check that are given are checked, and none of the request's",
      { mode: "SIMPLE", subjectAltNames: ["own.example"] },
      NO_AUTO,
      { settings: { ...OPEN, sans: ["own.example"], sansFromAuthority: false }, automatic: false },
    ],
    [
      "the subjectAltNames of a ServiceEntry are checked",
      { mode: "SIMPLE" },
      ENTRY,
      { settings: { ...OPEN, sans: [ID] }, automatic: false },
    ],
    [
      "those of the DestinationRule take the place of the ServiceEntry's",
      { mode: "SIMPLE", subjectAltNames: ["own.example"] },
      ENTRY,
      { settings: { ...OPEN, sans: ["own.example"], sansFromAuthority: false }, automatic: false },
    ],
    [
      "a ServiceEntry without any checks none but the request's",
      { mode: "SIMPLE" },
      { ...ENTRY, identities: [] },
      { settings: OPEN, automatic: false },
    ],
    [
      "where names are resolved, the request's is checked beside those that are given",
      { mode: "SIMPLE", sni: "own.example", subjectAltNames: ["own.example"] },
      RESOLVES_NAMES,
      {
        settings: { ...OPEN, sni: "own.example", sans: ["own.example"], sniFromAuthority: false },
        automatic: false,
      },
    ],
    [
      "insecureSkipVerify checks no name at all",
      { mode: "SIMPLE", subjectAltNames: ["own.example"], insecureSkipVerify: true },
      ENTRY,
      { settings: { ...OPEN, sansFromAuthority: false, insecureSkipVerify: true }, automatic: false },
    ],
    [
      "insecureSkipVerify does so where names are resolved, too",
      { mode: "SIMPLE", insecureSkipVerify: true },
      RESOLVES_NAMES,
      { settings: { ...OPEN, sansFromAuthority: false, insecureSkipVerify: true }, automatic: false },
    ],
  ];

  for (const [name, asked, context, choice] of CASES)
    test(name, () => assert.deepEqual(chooseTls(asked, context), choice));
});

describe("credentialName", () => {
  const asked = (credentialName: string): ClientTlsSettings => ({ mode: "SIMPLE", credentialName });
  const used = (credentialName: string): TlsChoice => ({
    settings: { ...OPEN, credentialName },
    automatic: false,
  });

  test("a Secret is used by gateways and by sidecars that the rule selects, not by any other: in clear", () => {
    assert.deepEqual(chooseTls(asked("cert"), { ...NO_AUTO, mayUseCredentials: true }), used("cert"));
    assert.deepEqual(chooseTls(asked("cert"), NO_AUTO), CLEAR);
    assert.deepEqual(chooseTls({ ...asked("cert"), mode: "MUTUAL" }, NO_AUTO), CLEAR);
  });

  test("a ConfigMap of roots is no secret: everybody uses it", () => {
    assert.deepEqual(chooseTls(asked("configmap://roots"), NO_AUTO), used("configmap://roots"));
    assert.deepEqual(chooseTls(asked("my-configmap://roots"), NO_AUTO), CLEAR);
  });
});
