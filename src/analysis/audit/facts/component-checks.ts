/**
 * What the CIS Kubernetes Benchmark (1.12, sections 1 to 4) asks of flags, as kube-bench reads it, and what it does not number: a row each.
 * Left out, as no defence depends on it: 1.2.9, 1.2.11, 1.2.18 to 1.2.20, 1.3.1, 1.3.4, 4.2.5 to 4.2.8 and 4.2.13.
 */
import type { FindingSeverity } from "../finding.ts";
import type { ComponentName, Flag } from "./component-flags.ts";
import { isOldTls, isWeakSuite } from "./tls-strength.ts";

export interface FlagCheck {
  /** As the benchmark numbers it; empty where it does not. */
  readonly id: string;
  readonly component: ComponentName;
  readonly flag: string;
  /** @param value undefined where it is not set */
  readonly isWrong: (value: string | undefined, flags: ReadonlyMap<string, Flag>) => boolean;
  readonly severity: FindingSeverity;
  /** What it comes to, behind the flag's name. */
  readonly text: string;
}

const parts = (value: string | undefined): readonly string[] =>
  (value ?? "").split(",").map((one) => one.trim());
const isUnset = (value: string | undefined): boolean => value === undefined || value === "";
const isNot = (wanted: string) => (value: string | undefined) => value !== wanted;
const lacks = (wanted: string) => (value: string | undefined) => !parts(value).includes(wanted);
const has = (unwanted: string) => (value: string | undefined) => parts(value).includes(unwanted);
const isSet = (value: string | undefined): boolean => !isUnset(value);
/** Nothing is written: everything is allowed. */
const isOpen = (value: string | undefined): boolean => isUnset(value) || parts(value).includes("AlwaysAllow");
const isBelow = (least: number) => (value: string | undefined) => !(Number(value) >= least);
const isElsewhere = (value: string | undefined): boolean =>
  value !== undefined && value !== "127.0.0.1" && value !== "::1";

/** The kubelet's own flags have open defaults, where no configuration file says otherwise (`applyLegacyDefaults` of Kubernetes' cmd/kubelet). */
const isOpenKubelet =
  (open: string) =>
  (value: string | undefined, flags: ReadonlyMap<string, Flag>): boolean =>
    value === undefined ? !flags.has("config") : parts(value).includes(open);
const isOpenPort = (value: string | undefined): boolean => isSet(value) && value !== "0";
const hasWeakSuite = (value: string | undefined): boolean => parts(value).some(isWeakSuite);
const hasOldTls = (value: string | undefined): boolean => isOldTls(value ?? "");

/** The node's own loopback apart. */
const isInClear = (value: string | undefined): boolean =>
  parts(value).some(
    (url) => url.startsWith("http://") && !/^http:\/\/(127\.|localhost[:/]|\[::1\])/.test(url),
  );

const API = "kube-apiserver";
const PLUGINS = "enable-admission-plugins";
const OFF = "disable-admission-plugins";
const WEAK = "has a suite without forward secrecy, or one that can be broken";
const OLD = "takes TLS before 1.2";

type Row = readonly [
  id: string,
  component: ComponentName,
  flag: string,
  isWrong: FlagCheck["isWrong"],
  severity: FindingSeverity,
  text: string,
];

const ROWS: readonly Row[] = [
  [
    "1.2.1",
    API,
    "anonymous-auth",
    isNot("false"),
    "low",
    "is not `false`: requests without a name are looked at",
  ],
  ["1.2.2", API, "token-auth-file", isSet, "high", "is set: tokens that never end, in a file"],
  [
    "1.2.3",
    API,
    PLUGINS,
    lacks("DenyServiceExternalIPs"),
    "low",
    "lacks `DenyServiceExternalIPs`: who writes Services takes over addresses outside (CVE-2020-8554)",
  ],
  [
    "1.2.4",
    API,
    "kubelet-client-certificate",
    isUnset,
    "medium",
    "is not set: kubelets cannot know the API server",
  ],
  [
    "1.2.5",
    API,
    "kubelet-certificate-authority",
    isUnset,
    "medium",
    "is not set: whoever answers is taken for a kubelet",
  ],
  [
    "1.2.6",
    API,
    "authorization-mode",
    isOpen,
    "critical",
    "is `AlwaysAllow`, which is the default: whoever is let in may do everything",
  ],
  [
    "1.2.7",
    API,
    "authorization-mode",
    lacks("Node"),
    "medium",
    "lacks `Node`: nodes are not held to what is theirs",
  ],
  ["1.2.8", API, "authorization-mode", lacks("RBAC"), "high", "lacks `RBAC`"],
  ["1.2.10", API, PLUGINS, has("AlwaysAdmit"), "high", "has `AlwaysAdmit`"],
  ["1.2.12", API, OFF, has("ServiceAccount"), "medium", "has `ServiceAccount`: pods run as any account"],
  ["1.2.13", API, OFF, has("NamespaceLifecycle"), "low", "has `NamespaceLifecycle`"],
  [
    "1.2.14",
    API,
    PLUGINS,
    lacks("NodeRestriction"),
    "medium",
    "lacks `NodeRestriction`: a kubelet writes other nodes, and labels of its own",
  ],
  ["1.2.15", API, "profiling", isNot("false"), "low", "is not `false`"],
  ["1.2.16", API, "audit-log-path", isUnset, "medium", "is not set: nothing is recorded"],
  ["1.2.17", API, "audit-log-maxage", isBelow(30), "low", "is not 30 or more"],
  [
    "1.2.21",
    API,
    "service-account-lookup",
    (value) => value === "false",
    "high",
    "is `false`: tokens of accounts that are gone are good",
  ],
  ["1.2.22", API, "service-account-key-file", isUnset, "medium", "is not set"],
  ["1.2.23", API, "etcd-certfile", isUnset, "high", "is not set: etcd cannot know the API server"],
  ["1.2.24", API, "tls-cert-file", isUnset, "medium", "is not set: the API server signs for itself"],
  ["1.2.25", API, "client-ca-file", isUnset, "medium", "is not set"],
  ["1.2.26", API, "etcd-cafile", isUnset, "high", "is not set: whoever answers is taken for etcd"],
  [
    "1.2.27",
    API,
    "encryption-provider-config",
    isUnset,
    "medium",
    "is not set: Secrets are in clear in etcd",
  ],
  ["1.2.29", API, "tls-cipher-suites", hasWeakSuite, "low", WEAK],
  [
    "1.2.30",
    API,
    "service-account-extend-token-expiration",
    isNot("false"),
    "low",
    "is not `false`: tokens of pods are good for a year",
  ],
  ["", API, "tls-min-version", hasOldTls, "medium", OLD],
  [
    "",
    API,
    "insecure-port",
    isOpenPort,
    "critical",
    "is not 0: whoever reaches the port is the cluster (gone since Kubernetes 1.24)",
  ],
  [
    "",
    API,
    "insecure-bind-address",
    isSet,
    "critical",
    "is set: whoever reaches the port is the cluster (gone since Kubernetes 1.24)",
  ],
  ["", API, "kubelet-https", has("false"), "high", "is `false`: commands and logs travel to nodes in clear"],
  ["", API, "basic-auth-file", isSet, "high", "is set: passwords that never end, in a file"],
  [
    "1.3.6",
    "kube-controller-manager",
    "feature-gates",
    has("RotateKubeletServerCertificate=false"),
    "low",
    "switches off the renewal of kubelets' certificates",
  ],
  ["", "kube-controller-manager", "tls-min-version", hasOldTls, "medium", OLD],
  ["", "kube-scheduler", "tls-min-version", hasOldTls, "medium", OLD],
  ["", "etcd", "cipher-suites", hasWeakSuite, "low", WEAK],
  ["1.3.2", "kube-controller-manager", "profiling", isNot("false"), "low", "is not `false`"],
  [
    "1.3.3",
    "kube-controller-manager",
    "use-service-account-credentials",
    isNot("true"),
    "medium",
    "is not `true`: all controllers have the rights of one",
  ],
  [
    "1.3.5",
    "kube-controller-manager",
    "root-ca-file",
    isUnset,
    "medium",
    "is not set: pods cannot know the API server",
  ],
  ["1.3.7", "kube-controller-manager", "bind-address", isElsewhere, "low", "is not the node's own loopback"],
  ["1.4.1", "kube-scheduler", "profiling", isNot("false"), "low", "is not `false`"],
  ["1.4.2", "kube-scheduler", "bind-address", isElsewhere, "low", "is not the node's own loopback"],
  [
    "2.1",
    "etcd",
    "listen-client-urls",
    isInClear,
    "high",
    "has an address in clear: Secrets travel in clear",
  ],
  ["2.1", "etcd", "cert-file", isUnset, "high", "is not set: Secrets travel in clear"],
  [
    "2.2",
    "etcd",
    "client-cert-auth",
    isNot("true"),
    "critical",
    "is not `true`: whoever reaches etcd has every Secret",
  ],
  ["2.3", "etcd", "auto-tls", has("true"), "high", "is `true`: certificates that nobody signed"],
  ["2.4", "etcd", "peer-cert-file", isUnset, "medium", "is not set"],
  [
    "2.5",
    "etcd",
    "peer-client-cert-auth",
    isNot("true"),
    "high",
    "is not `true`: whoever reaches the port joins",
  ],
  ["2.6", "etcd", "peer-auto-tls", has("true"), "high", "is `true`: certificates that nobody signed"],
  ["3.2.1", API, "audit-policy-file", isUnset, "low", "is not set: nothing says what is recorded"],
  [
    "4.2.1",
    "kubelet",
    "anonymous-auth",
    isOpenKubelet("true"),
    "high",
    "is `true`, which is the default without `--config`: whoever reaches the node is looked at",
  ],
  [
    "4.2.2",
    "kubelet",
    "authorization-mode",
    isOpenKubelet("AlwaysAllow"),
    "critical",
    "is `AlwaysAllow`, which is the default without `--config`: whoever is let in runs commands in every pod",
  ],
  [
    "4.2.4",
    "kubelet",
    "read-only-port",
    (value, flags) => isOpenPort(value) || (value === undefined && !flags.has("config")),
    "high",
    "is not 0 (without `--config` it is 10255): pods and their environments are shown to whoever asks",
  ],
  [
    "",
    "kubelet",
    "manifest-url",
    (value) => (value ?? "").startsWith("http://"),
    "high",
    "is in clear: whoever answers makes pods on the node",
  ],
  [
    "4.2.10",
    "kubelet",
    "rotate-certificates",
    has("false"),
    "low",
    "is `false`: its certificate is not renewed",
  ],
  ["4.2.12", "kubelet", "tls-cipher-suites", hasWeakSuite, "low", WEAK],
  ["", "kubelet", "tls-min-version", hasOldTls, "medium", OLD],
];

export const FLAG_CHECKS: readonly FlagCheck[] = ROWS.map(
  ([id, component, flag, isWrong, severity, text]) => ({
    id,
    component,
    flag,
    isWrong,
    severity,
    text,
  }),
);
