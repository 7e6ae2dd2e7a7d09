import assert from "node:assert/strict";
import { test } from "node:test";
import { excessesOf } from "../../../src/analysis/trust/pod-security/proxy-privileges.ts";

const HARDENED = { allowPrivilegeEscalation: false, privileged: false, capabilities: { drop: ["ALL"] } };
const PROXY = "docker.io/istio/proxyv2:1.30.4";
const NODE = {
  allowPrivilegeEscalation: true,
  capabilities: { add: ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"], drop: ["ALL"] },
  runAsUser: 0,
};

function textsOf(
  name: string,
  image: string,
  securityContext: object | undefined,
  annotations: Record<string, string> = {},
  others: object = {},
): readonly string[] {
  const body = { ...others, ...(securityContext === undefined ? {} : { securityContext }) };
  return excessesOf({ name, image, container: body }, annotations).map(({ text }) => text);
}

test("a sidecar may be hardened and no more, bind low ports, and with TPROXY have NET_ADMIN as root", () => {
  assert.deepEqual(textsOf("istio-proxy", PROXY, { ...HARDENED, runAsUser: 1337, runAsNonRoot: true }), []);
  const low = { ...HARDENED, capabilities: { add: ["NET_BIND_SERVICE"], drop: ["ALL"] }, runAsUser: 0 };
  assert.deepEqual(textsOf("istio-proxy", PROXY, low), ["runs as root"]);
  assert.deepEqual(textsOf("istio-proxy", PROXY, low, { "sidecar.istio.io/capNetBindService": "true" }), []);
  const capture = { ...HARDENED, capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] }, runAsUser: 0 };
  assert.deepEqual(textsOf("istio-proxy", PROXY, capture), ["adds NET_ADMIN", "runs as root"]);
  assert.deepEqual(
    textsOf("istio-proxy", PROXY, capture, { "sidecar.istio.io/interceptionMode": "TPROXY" }),
    [],
  );
  const env = [{ name: "ISTIO_META_INTERCEPTION_MODE", value: "TPROXY" }];
  assert.deepEqual(textsOf("istio-proxy", PROXY, capture, {}, { env }), []);
  assert.deepEqual(
    textsOf("istio-proxy", PROXY, capture, { "sidecar.istio.io/interceptionMode": "REDIRECT" }).length,
    2,
  );
});

test("what nobody wrote counts for images that are named, and not for those that the injector fills in", () => {
  assert.deepEqual(textsOf("istio-proxy", PROXY, undefined), [
    "keeps the default capabilities",
    "may gain rights",
  ]);
  assert.deepEqual(textsOf("istio-proxy", "auto", undefined), []);
  assert.deepEqual(textsOf("istio-proxy", "auto", { privileged: true, runAsNonRoot: false }), [
    "is privileged",
    "runs as root",
  ]);
});

test("istio-init makes the rules of capture, istio-validation only looks at them", () => {
  const init = { ...HARDENED, capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] }, runAsUser: 0 };
  assert.deepEqual(textsOf("istio-init", PROXY, init), []);
  assert.deepEqual(
    textsOf("istio-init", PROXY, { ...init, capabilities: { add: ["SYS_ADMIN"], drop: ["ALL"] } }),
    ["adds SYS_ADMIN"],
  );
  assert.deepEqual(textsOf("istio-validation", PROXY, init), [
    "adds NET_ADMIN",
    "adds NET_RAW",
    "runs as root",
  ]);
});

test("ztunnel and the CNI plugin have the node's network, and are not to be privileged", () => {
  assert.deepEqual(textsOf("istio-proxy", "docker.io/istio/ztunnel:1.30.4", NODE), []);
  assert.deepEqual(textsOf("istio-proxy", "docker.io/istio/ztunnel:1.30.4", { ...NODE, privileged: true }), [
    "is privileged",
  ]);
  const traced = { ...NODE, capabilities: { add: ["SYS_PTRACE", "DAC_OVERRIDE"], drop: ["ALL"] } };
  assert.deepEqual(textsOf("install-cni", "docker.io/istio/install-cni:1.30.4", traced), []);
  assert.deepEqual(textsOf("istio-proxy", "docker.io/istio/ztunnel:1.30.4", traced), [
    "adds SYS_PTRACE",
    "adds DAC_OVERRIDE",
  ]);
});

test("containers that are not Istio's are not asked, whatever they have", () => {
  assert.deepEqual(textsOf("app", "corp/app:1", { privileged: true }), []);
});
