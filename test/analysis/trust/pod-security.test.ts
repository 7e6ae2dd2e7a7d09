/** Each control: what it forbids, and the nearest thing that it lets be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  brokenControls,
  brokenControlsOf,
  LATEST_STANDARD_MINOR,
} from "../../../src/analysis/trust/pod-security/check-pod-security.ts";
import type { PodSecurityLevel } from "../../../src/analysis/trust/pod-security/control.ts";
import { loadMesh } from "../../../src/index.ts";
import { writeMesh } from "./write-mesh.ts";

type Json = Record<string, unknown>;

interface PodParts {
  readonly pod?: Json;
  readonly context?: Json;
  readonly container?: Json;
  readonly containerContext?: Json;
  readonly annotations?: Json;
  readonly list?: "containers" | "initContainers" | "ephemeralContainers";
}

const HARDENED = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };

/** A pod that holds to level restricted, changed in one place. */
function podWith({
  pod,
  context,
  container,
  containerContext,
  annotations,
  list = "containers",
}: PodParts): Json {
  const changed = {
    name: "changed",
    image: "a",
    securityContext: { ...HARDENED, ...containerContext },
    ...container,
  };
  return {
    metadata: { name: "p", annotations: annotations ?? {} },
    spec: {
      containers:
        list === "containers" ? [changed] : [{ name: "app", image: "a", securityContext: HARDENED }],
      ...(list === "containers" ? {} : { [list]: [changed] }),
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" }, ...context },
      ...pod,
    },
  };
}

function broken(parts: PodParts, level: PodSecurityLevel, minor = LATEST_STANDARD_MINOR): readonly string[] {
  return brokenControls(podWith(parts), [], level, minor).flatMap(({ control, breaches }) =>
    breaches.map(({ path }) => `${control} ${path.join(".")}`),
  );
}

const CONTEXT = "spec.containers.0.securityContext";

/** [parts that break it, the field at fault, the nearest parts that do not] */
const BASELINE: Readonly<Record<string, readonly [PodParts, string, PodParts]>> = {
  "appArmorProfile of the pod": [
    { context: { appArmorProfile: { type: "Unconfined" } } },
    "appArmorProfile spec.securityContext.appArmorProfile.type",
    { context: { appArmorProfile: { type: "Localhost", localhostProfile: "x" } } },
  ],
  "appArmorProfile by annotation": [
    { annotations: { "container.apparmor.security.beta.kubernetes.io/changed": "unconfined" } },
    "appArmorProfile metadata.annotations.container.apparmor.security.beta.kubernetes.io/changed",
    { annotations: { "container.apparmor.security.beta.kubernetes.io/changed": "localhost/x" } },
  ],
  capabilities: [
    { containerContext: { capabilities: { add: ["CHOWN", "NET_RAW"], drop: ["ALL"] } } },
    `capabilities_baseline ${CONTEXT}.capabilities.add.1`,
    { containerContext: { capabilities: { add: ["CHOWN", "NET_BIND_SERVICE"], drop: ["ALL"] } } },
  ],
  hostNetwork: [
    { pod: { hostNetwork: true } },
    "hostNamespaces spec.hostNetwork",
    { pod: { hostNetwork: false } },
  ],
  hostPID: [{ pod: { hostPID: true } }, "hostNamespaces spec.hostPID", { pod: { hostPID: false } }],
  hostIPC: [
    { pod: { hostIPC: true } },
    "hostNamespaces spec.hostIPC",
    { pod: { shareProcessNamespace: true } },
  ],
  hostPath: [
    {
      pod: {
        volumes: [
          { name: "a", emptyDir: {} },
          { name: "b", hostPath: { path: "/" } },
        ],
      },
    },
    "hostPathVolumes spec.volumes.1.hostPath",
    { pod: { volumes: [{ name: "b", nfs: { server: "s", path: "/" } }] } },
  ],
  hostPort: [
    { container: { ports: [{ containerPort: 1 }, { containerPort: 80, hostPort: 80 }] } },
    "hostPorts spec.containers.0.ports.1.hostPort",
    { container: { ports: [{ containerPort: 80, hostPort: 0 }] } },
  ],
  "host of a probe": [
    { container: { livenessProbe: { httpGet: { port: 80, host: "169.254.169.254" } } } },
    "hostProbesAndHostLifecycle spec.containers.0.livenessProbe.httpGet.host",
    { container: { livenessProbe: { httpGet: { port: 80, host: "" } } } },
  ],
  "host of a hook": [
    { container: { lifecycle: { preStop: { tcpSocket: { port: 80, host: "10.0.0.1" } } } } },
    "hostProbesAndHostLifecycle spec.containers.0.lifecycle.preStop.tcpSocket.host",
    { container: { lifecycle: { preStop: { exec: { command: ["x"] } } } } },
  ],
  privileged: [
    { containerContext: { privileged: true } },
    `privileged ${CONTEXT}.privileged`,
    { containerContext: { privileged: false } },
  ],
  procMount: [
    { containerContext: { procMount: "Unmasked" } },
    `procMount ${CONTEXT}.procMount`,
    { containerContext: { procMount: "Unmasked" }, pod: { hostUsers: false } },
  ],
  "seLinuxOptions.type": [
    { containerContext: { seLinuxOptions: { type: "spc_t" } } },
    `seLinuxOptions ${CONTEXT}.seLinuxOptions.type`,
    { containerContext: { seLinuxOptions: { type: "container_engine_t", level: "s0" } } },
  ],
  "seLinuxOptions.user": [
    { context: { seLinuxOptions: { user: "system_u" } } },
    "seLinuxOptions spec.securityContext.seLinuxOptions.user",
    { context: { seLinuxOptions: { user: "" } } },
  ],
  seccompProfile: [
    { containerContext: { seccompProfile: { type: "Unconfined" } } },
    `seccompProfile_baseline ${CONTEXT}.seccompProfile.type`,
    { containerContext: { seccompProfile: { type: "Localhost", localhostProfile: "x" } } },
  ],
  sysctls: [
    {
      context: {
        sysctls: [
          { name: "net.ipv4.tcp_rmem", value: "1" },
          { name: "kernel.msgmax", value: "1" },
        ],
      },
    },
    "sysctls spec.securityContext.sysctls.1.name",
    { context: { sysctls: [{ name: "net.ipv4.tcp_syncookies", value: "1" }] } },
  ],
  hostProcess: [
    { context: { windowsOptions: { hostProcess: true } } },
    "windowsHostProcess spec.securityContext.windowsOptions.hostProcess",
    { context: { windowsOptions: { hostProcess: false } } },
  ],
};

const RESTRICTED: Readonly<Record<string, readonly [PodParts, string, PodParts]>> = {
  allowPrivilegeEscalation: [
    { container: { securityContext: { capabilities: { drop: ["ALL"] } } } },
    `allowPrivilegeEscalation ${CONTEXT}.allowPrivilegeEscalation`,
    {},
  ],
  "capabilities that are kept": [
    { containerContext: { capabilities: { drop: ["NET_RAW"] } } },
    `capabilities_restricted ${CONTEXT}.capabilities.drop`,
    { containerContext: { capabilities: { drop: ["CHOWN", "ALL"], add: ["NET_BIND_SERVICE"] } } },
  ],
  "capabilities that baseline lets be": [
    { containerContext: { capabilities: { drop: ["ALL"], add: ["CHOWN"] } } },
    `capabilities_restricted ${CONTEXT}.capabilities.add.0`,
    { containerContext: { capabilities: { drop: ["ALL"], add: [] } } },
  ],
  procMount: [
    { containerContext: { procMount: "Unmasked" }, pod: { hostUsers: false } },
    `procMount_restricted ${CONTEXT}.procMount`,
    { containerContext: { procMount: "Default" } },
  ],
  volumes: [
    { pod: { volumes: [{ name: "b", nfs: { server: "s", path: "/" } }] } },
    "restrictedVolumes spec.volumes.0",
    {
      pod: {
        volumes: [
          { name: "a" },
          { name: "b", csi: { driver: "d" } },
          { name: "c", image: { reference: "r" } },
        ],
      },
    },
  ],
  "runAsNonRoot that is missing": [
    { context: { runAsNonRoot: undefined } },
    `runAsNonRoot ${CONTEXT}.runAsNonRoot`,
    { context: { runAsNonRoot: undefined }, containerContext: { runAsNonRoot: true } },
  ],
  "runAsNonRoot that a container takes back": [
    { containerContext: { runAsNonRoot: false } },
    `runAsNonRoot ${CONTEXT}.runAsNonRoot`,
    { containerContext: { runAsNonRoot: false }, pod: { hostUsers: false } },
  ],
  runAsUser: [
    { containerContext: { runAsUser: 0 } },
    `runAsUser ${CONTEXT}.runAsUser`,
    { containerContext: { runAsUser: 1 } },
  ],
  "seccompProfile that is missing": [
    { context: { seccompProfile: undefined } },
    `seccompProfile_restricted ${CONTEXT}.seccompProfile`,
    {
      context: { seccompProfile: undefined },
      containerContext: { seccompProfile: { type: "RuntimeDefault" } },
    },
  ],
};

for (const [level, cases] of [
  ["baseline", BASELINE],
  ["restricted", RESTRICTED],
] as const)
  for (const [name, [bad, expected, good]] of Object.entries(cases))
    test(`${level} forbids ${name}, and not what is beside it`, () => {
      assert.deepEqual(broken(bad, level), [expected]);
      assert.deepEqual(broken(good, level), []);
    });

test("every control looks at init and ephemeral containers as at the others", () => {
  for (const list of ["initContainers", "ephemeralContainers"] as const)
    for (const parts of [
      { containerContext: { privileged: true } },
      { containerContext: { runAsUser: 0 } },
      { container: { ports: [{ hostPort: 80 }] } },
    ])
      assert.match(broken({ ...parts, list }, "restricted")[0] ?? "", new RegExp(` spec\\.${list}\\.0\\.`));
});

test("the standard is that of the version asked for", () => {
  const sysctl = (name: string) => ({ context: { sysctls: [{ name, value: "1" }] } });
  assert.equal(broken(sysctl("net.ipv4.tcp_rmem"), "baseline", 31).length, 1);
  assert.equal(broken(sysctl("net.ipv4.tcp_rmem"), "baseline", 32).length, 0);
  const engine = { context: { seLinuxOptions: { type: "container_engine_t" } } };
  assert.equal(broken(engine, "baseline", 30).length, 1);
  assert.equal(broken(engine, "baseline", 31).length, 0);
  const probe = { container: { livenessProbe: { tcpSocket: { host: "h" } } } };
  assert.equal(broken(probe, "baseline", 33).length, 0);
  assert.equal(broken(probe, "baseline", 34).length, 1);
  const rootInside = { containerContext: { runAsUser: 0 }, pod: { hostUsers: false } };
  assert.equal(broken(rootInside, "restricted", 34).length, 1);
  assert.equal(broken(rootInside, "restricted", 35).length, 0);
  const annotated = { annotations: { "seccomp.security.alpha.kubernetes.io/pod": "unconfined" } };
  assert.equal(broken(annotated, "baseline", 18).length, 1);
  assert.equal(broken(annotated, "baseline", 19).length, 0);
  assert.deepEqual(broken(rootInside, "restricted", 99), broken(rootInside, "restricted"));
});

test("pods for Windows are not asked for what Windows has not, from 1.25 on", () => {
  const windows = {
    pod: { os: { name: "windows" } },
    context: { seccompProfile: undefined },
    container: { securityContext: {} },
  };
  assert.equal(broken(windows, "restricted").length, 0);
  assert.equal(broken(windows, "restricted", 24).length, 3);
  assert.equal(broken({ ...windows, pod: { os: { name: "linux" } } }, "restricted").length, 3);
});

test("what baseline forbids and restricted forbids more strictly is told once", () => {
  assert.deepEqual(broken({ pod: { volumes: [{ name: "v", hostPath: { path: "/" } }] } }, "restricted"), [
    "restrictedVolumes spec.volumes.0",
  ]);
});

test("what is not of the schema's shape is passed over without a throw", () => {
  for (const value of [null, 1, "x", [], [null, 1, [], {}]])
    for (const field of ["containers", "initContainers", "volumes", "securityContext", "os"])
      brokenControls(
        { metadata: value, spec: { containers: [{ name: "c", ports: value }], [field]: value } },
        [],
        "restricted",
      );
  assert.deepEqual(brokenControls({}, [], "restricted"), []);
});

test("brokenControlsOf finds the pod in a Deployment, with paths from the Deployment's root", async (t) => {
  const { mesh } = await loadMesh([
    writeMesh(
      t,
      `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {hostPID: true, containers: [{name: c, image: i}]}
`,
    ),
  ]);
  const found = mesh.resources.flatMap((resource) => brokenControlsOf(resource, "baseline"));
  assert.deepEqual(found, [
    {
      control: "hostNamespaces",
      level: "baseline",
      breaches: [{ path: ["spec", "template", "spec", "hostPID"], text: "hostPID: true" }],
    },
  ]);
});
