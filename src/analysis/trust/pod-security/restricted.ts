/** The controls of level restricted: what hardened pods say of themselves. */
import { badSeccompTypes, unmaskedProc } from "./baseline.ts";
import {
  asList,
  asObject,
  type Breach,
  breach,
  type Control,
  containerScopes,
  hasUserNamespace,
  isSet,
  isWindowsPod,
  type JudgedPod,
  podScope,
} from "./control.ts";

const VOLUMES = [
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "image",
  "persistentVolumeClaim",
  "projected",
  "secret",
];

export const RESTRICTED_CONTROLS: readonly Control[] = [
  { id: "allowPrivilegeEscalation", level: "restricted", since: 8, check: escalation },
  {
    id: "capabilities_restricted",
    level: "restricted",
    since: 22,
    overrides: ["capabilities_baseline"],
    check: keptCapabilities,
  },
  {
    id: "procMount_restricted",
    level: "restricted",
    since: 35,
    overrides: ["procMount"],
    check: unmaskedProc,
  },
  {
    id: "restrictedVolumes",
    level: "restricted",
    since: 0,
    overrides: ["hostPathVolumes"],
    check: otherVolumes,
  },
  { id: "runAsNonRoot", level: "restricted", since: 0, check: mayBeRoot },
  { id: "runAsUser", level: "restricted", since: 23, check: isRoot },
  {
    id: "seccompProfile_restricted",
    level: "restricted",
    since: 19,
    overrides: ["seccompProfile_baseline"],
    check: noSeccomp,
  },
];

function* escalation(pod: JudgedPod): Iterable<Breach> {
  if (isWindowsPod(pod)) return;
  for (const scope of containerScopes(pod))
    if (scope.context.allowPrivilegeEscalation !== false)
      yield breach(scope, ["allowPrivilegeEscalation"], "allowPrivilegeEscalation is not false");
}

function* keptCapabilities(pod: JudgedPod): Iterable<Breach> {
  if (isWindowsPod(pod)) return;
  for (const scope of containerScopes(pod)) {
    const { drop, add } = asObject(scope.context.capabilities);
    if (!asList(drop).includes("ALL"))
      yield breach(scope, ["capabilities", "drop"], "not all capabilities are dropped");
    for (const [index, added] of asList(add).entries())
      if (added !== "NET_BIND_SERVICE")
        yield breach(scope, ["capabilities", "add", index], `adds the capability ${added}`);
  }
}

function* otherVolumes({ spec, at }: JudgedPod): Iterable<Breach> {
  for (const [index, value] of asList(spec.volumes).entries()) {
    const volume = asObject(value);
    if (VOLUMES.some((kind) => isSet(volume[kind]))) continue;
    const kind = Object.keys(volume).find((key) => key !== "name");
    // One of no kind becomes an emptyDir when it is stored.
    if (kind !== undefined)
      yield { path: [...at, "spec", "volumes", index], text: `the volume ${volume.name} is ${kind}` };
  }
}

function* mayBeRoot(pod: JudgedPod): Iterable<Breach> {
  if (hasUserNamespace(pod)) return;
  const whole = podScope(pod);
  if (whole.context.runAsNonRoot === false) yield breach(whole, ["runAsNonRoot"], "runAsNonRoot: false");
  for (const scope of containerScopes(pod)) {
    const own = scope.context.runAsNonRoot;
    if (own === false) yield breach(scope, ["runAsNonRoot"], "runAsNonRoot: false");
    else if (!isSet(own) && whole.context.runAsNonRoot !== true)
      yield breach(scope, ["runAsNonRoot"], "runAsNonRoot is not true");
  }
}

function* isRoot(pod: JudgedPod): Iterable<Breach> {
  if (hasUserNamespace(pod)) return;
  for (const scope of [podScope(pod), ...containerScopes(pod)])
    if (scope.context.runAsUser === 0) yield breach(scope, ["runAsUser"], "runAsUser: 0");
}

function* noSeccomp(pod: JudgedPod): Iterable<Breach> {
  if (isWindowsPod(pod)) return;
  const whole = podScope(pod);
  const scopes = containerScopes(pod);
  yield* badSeccompTypes([whole, ...scopes]);
  const { type } = asObject(whole.context.seccompProfile);
  if (type === "RuntimeDefault" || type === "Localhost") return;
  for (const scope of scopes)
    if (!isSet(scope.context.seccompProfile))
      yield breach(scope, ["seccompProfile"], "no seccompProfile is set");
}
