/** The controls of level baseline: what known ways out of a container ask for. */
import {
  asList,
  asObject,
  type Breach,
  breach,
  type Control,
  containerScopes,
  hasUserNamespace,
  isSet,
  type Json,
  type JudgedPod,
  podScope,
  type Scope,
} from "./control.ts";

const CAPABILITIES = new Set([
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
]);
/** The minor from which each is taken for safe. */
const SAFE_SYSCTLS: Readonly<Record<string, number>> = {
  "kernel.shm_rmid_forced": 0,
  "net.ipv4.ip_local_port_range": 0,
  "net.ipv4.tcp_syncookies": 0,
  "net.ipv4.ping_group_range": 0,
  "net.ipv4.ip_unprivileged_port_start": 0,
  "net.ipv4.ip_local_reserved_ports": 27,
  "net.ipv4.tcp_keepalive_time": 29,
  "net.ipv4.tcp_fin_timeout": 29,
  "net.ipv4.tcp_keepalive_intvl": 29,
  "net.ipv4.tcp_keepalive_probes": 29,
  "net.ipv4.tcp_rmem": 32,
  "net.ipv4.tcp_wmem": 32,
  "net.ipv4.tcp_slow_start_after_idle": 37,
  "net.ipv4.tcp_notsent_lowat": 37,
};
const SELINUX_TYPES = new Set(["", "container_t", "container_init_t", "container_kvm_t"]);
const SELINUX_ENGINE_SINCE = 31;
const APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_ANNOTATION = "container.seccomp.security.alpha.kubernetes.io/";
/** The first minor whose standard asks the fields and no longer the annotations. */
const SECCOMP_FIELDS_SINCE = 19;

export const BASELINE_CONTROLS: readonly Control[] = [
  { id: "appArmorProfile", level: "baseline", since: 0, check: appArmor },
  { id: "capabilities_baseline", level: "baseline", since: 0, check: addedCapabilities },
  { id: "hostNamespaces", level: "baseline", since: 0, check: hostNamespaces },
  { id: "hostPathVolumes", level: "baseline", since: 0, check: hostPaths },
  { id: "hostPorts", level: "baseline", since: 0, check: hostPorts },
  { id: "hostProbesAndHostLifecycle", level: "baseline", since: 34, check: handlerHosts },
  { id: "privileged", level: "baseline", since: 0, check: privileged },
  { id: "procMount", level: "baseline", since: 0, check: maskedProc },
  { id: "seLinuxOptions", level: "baseline", since: 0, check: seLinux },
  { id: "seccompProfile_baseline", level: "baseline", since: 0, check: seccomp },
  { id: "sysctls", level: "baseline", since: 0, check: sysctls },
  { id: "windowsHostProcess", level: "baseline", since: 0, check: hostProcess },
];

function* appArmor(pod: JudgedPod): Iterable<Breach> {
  for (const scope of [podScope(pod), ...containerScopes(pod)]) {
    const { type } = asObject(scope.context.appArmorProfile);
    if (isSet(scope.context.appArmorProfile) && type !== "RuntimeDefault" && type !== "Localhost")
      yield breach(scope, ["appArmorProfile", "type"], `appArmorProfile.type: ${type}`);
  }
  for (const [key, value] of Object.entries(pod.annotations)) {
    const isAllowed = value === "" || value === "runtime/default" || String(value).startsWith("localhost/");
    if (key.startsWith(APPARMOR_ANNOTATION) && !isAllowed)
      yield { path: [...pod.at, "metadata", "annotations", key], text: `${key}: ${value}` };
  }
}

function* addedCapabilities(pod: JudgedPod): Iterable<Breach> {
  for (const scope of containerScopes(pod))
    for (const [index, added] of asList(asObject(scope.context.capabilities).add).entries())
      if (!CAPABILITIES.has(String(added)))
        yield breach(scope, ["capabilities", "add", index], `adds the capability ${added}`);
}

function* hostNamespaces({ spec, at }: JudgedPod): Iterable<Breach> {
  for (const field of ["hostNetwork", "hostPID", "hostIPC"])
    if (spec[field] === true) yield { path: [...at, "spec", field], text: `${field}: true` };
}

function* hostPaths({ spec, at }: JudgedPod): Iterable<Breach> {
  for (const [index, value] of asList(spec.volumes).entries()) {
    const { hostPath, name } = asObject(value);
    if (isSet(hostPath))
      yield { path: [...at, "spec", "volumes", index, "hostPath"], text: `the volume ${name} is a hostPath` };
  }
}

function* hostPorts({ containers }: JudgedPod): Iterable<Breach> {
  for (const { container, path, name } of containers)
    for (const [index, value] of asList(container.ports).entries()) {
      const { hostPort } = asObject(value);
      if (isSet(hostPort) && hostPort !== 0)
        yield { path: [...path, "ports", index, "hostPort"], text: `hostPort: ${hostPort}`, container: name };
    }
}

const PROBES = ["livenessProbe", "readinessProbe", "startupProbe"];
const HOOKS = ["postStart", "preStop"];

/** Kubelets send probes from the node, wherever the pod says. */
function* handlerHosts({ containers }: JudgedPod): Iterable<Breach> {
  for (const { container, path, name } of containers) {
    const handlers: [readonly string[], Json][] = [
      ...PROBES.map((probe): [string[], Json] => [[probe], asObject(container[probe])]),
      ...HOOKS.map((hook): [string[], Json] => [
        ["lifecycle", hook],
        asObject(asObject(container.lifecycle)[hook]),
      ]),
    ];
    for (const [steps, handler] of handlers)
      for (const kind of ["httpGet", "tcpSocket"]) {
        const { host } = asObject(handler[kind]);
        if (isSet(host) && host !== "")
          yield {
            path: [...path, ...steps, kind, "host"],
            text: `${steps.join(".")} asks ${host}`,
            container: name,
          };
      }
  }
}

function* privileged(pod: JudgedPod): Iterable<Breach> {
  for (const scope of containerScopes(pod))
    if (scope.context.privileged === true) yield breach(scope, ["privileged"], "privileged: true");
}

export function* unmaskedProc(pod: JudgedPod): Iterable<Breach> {
  for (const scope of containerScopes(pod)) {
    const { procMount } = scope.context;
    if (isSet(procMount) && procMount !== "Default")
      yield breach(scope, ["procMount"], `procMount: ${procMount}`);
  }
}

function* maskedProc(pod: JudgedPod): Iterable<Breach> {
  if (!hasUserNamespace(pod)) yield* unmaskedProc(pod);
}

function* seLinux(pod: JudgedPod): Iterable<Breach> {
  for (const scope of [podScope(pod), ...containerScopes(pod)]) {
    if (!isSet(scope.context.seLinuxOptions)) continue;
    const options = asObject(scope.context.seLinuxOptions);
    const type = String(options.type ?? "");
    const isEngine = type === "container_engine_t" && pod.minor >= SELINUX_ENGINE_SINCE;
    if (!SELINUX_TYPES.has(type) && !isEngine)
      yield breach(scope, ["seLinuxOptions", "type"], `seLinuxOptions.type: ${type}`);
    for (const field of ["user", "role"])
      if (isSet(options[field]) && options[field] !== "")
        yield breach(scope, ["seLinuxOptions", field], `seLinuxOptions.${field}: ${options[field]}`);
  }
}

function* seccomp(pod: JudgedPod): Iterable<Breach> {
  if (pod.minor < SECCOMP_FIELDS_SINCE) yield* seccompAnnotations(pod);
  else yield* badSeccompTypes([podScope(pod), ...containerScopes(pod)]);
}

export function* badSeccompTypes(scopes: readonly Scope[]): Iterable<Breach> {
  for (const scope of scopes) {
    const { type } = asObject(scope.context.seccompProfile);
    if (isSet(scope.context.seccompProfile) && type !== "RuntimeDefault" && type !== "Localhost")
      yield breach(scope, ["seccompProfile", "type"], `seccompProfile.type: ${type}`);
  }
}

function* seccompAnnotations({ annotations, containers, at }: JudgedPod): Iterable<Breach> {
  for (const key of [SECCOMP_POD_ANNOTATION, ...containers.map(({ name }) => SECCOMP_ANNOTATION + name)]) {
    const value = Object.hasOwn(annotations, key) ? String(annotations[key]) : "runtime/default";
    const isAllowed =
      value === "runtime/default" || value === "docker/default" || value.startsWith("localhost/");
    if (!isAllowed) yield { path: [...at, "metadata", "annotations", key], text: `${key}: ${value}` };
  }
}

function* sysctls(pod: JudgedPod): Iterable<Breach> {
  const scope = podScope(pod);
  for (const [index, value] of asList(scope.context.sysctls).entries()) {
    const name = String(asObject(value).name);
    const since = Object.hasOwn(SAFE_SYSCTLS, name) ? SAFE_SYSCTLS[name] : undefined;
    if (since === undefined || since > pod.minor)
      yield breach(scope, ["sysctls", index, "name"], `the sysctl ${name}`);
  }
}

function* hostProcess(pod: JudgedPod): Iterable<Breach> {
  for (const scope of [podScope(pod), ...containerScopes(pod)])
    if (asObject(scope.context.windowsOptions).hostProcess === true)
      yield breach(scope, ["windowsOptions", "hostProcess"], "windowsOptions.hostProcess: true");
}
