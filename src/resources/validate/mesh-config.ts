import { load } from "js-yaml";
import { didYouMean } from "../did-you-mean.ts";
import { MESH_CONFIG } from "../mesh-config-coverage.ts";
import { isObject } from "../read-objects.ts";
import { SourceText } from "../source-text.ts";
import { KUBERNETES_SCHEMA } from "../yaml-schema.ts";
import { parseDurationNs } from "./duration.ts";
import { type Field, quoted } from "./field.ts";
import { checkPort, checkWildcardHost, isDnsLabel, isIpAddress, nameProblem } from "./host-names.ts";
import { checkLocality } from "./load-balancer.ts";
import { wrongType } from "./schema-problems.ts";

const FIELDS: readonly string[] = Object.keys(MESH_CONFIG);

const ENUMS: readonly (readonly [readonly string[], readonly string[]])[] = [
  [
    ["outboundTrafficPolicy", "mode"],
    ["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"],
  ],
  [
    ["inboundTrafficPolicy", "mode"],
    ["PASSTHROUGH", "LOCALHOST"],
  ],
  [
    ["pathNormalization", "normalization"],
    ["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"],
  ],
  [["accessLogEncoding"], ["TEXT", "JSON"]],
  [["h2UpgradePolicy"], ["DO_NOT_UPGRADE", "UPGRADE"]],
];
const STRINGS: readonly string[] = ["rootNamespace", "trustDomain"];
const LISTS: readonly string[] = [
  "trustDomainAliases",
  "defaultServiceExportTo",
  "defaultVirtualServiceExportTo",
  "defaultDestinationRuleExportTo",
  "extensionProviders",
];

/** Where `data.mesh` stands in the ConfigMap; fields inside of it have paths that go on from here. */
export const MESH_PATH: readonly string[] = ["data", "mesh"];

/** The places of fields inside the text of `data.mesh`, as lines and columns of that text. */
export function meshText(text: string): SourceText {
  return new SourceText("", text, 0);
}

/** @param configMap the ConfigMap `istio` as a whole. */
export function checkMeshConfig(configMap: Field): void {
  const mesh = configMap.at(...MESH_PATH);
  if (!mesh.present) return;
  if (typeof mesh.value !== "string") {
    wrongType(mesh, "string");
    return;
  }
  const parsed = parseMesh(mesh);
  if (parsed !== undefined) checkSettings(mesh.within(parsed));
}

function parseMesh(mesh: Field): unknown {
  if (mesh.text.trim() === "") return undefined;
  try {
    const value = load(mesh.text, { schema: KUBERNETES_SCHEMA, maxAliases: 1000 });
    if (isObject(value)) return value;
    mesh.error("BW1247_MESH_CONFIG", "`data.mesh` is no map of settings", "like `trustDomain: example.com`");
  } catch (error) {
    const reason = error instanceof Error && "reason" in error ? String(error.reason) : "it cannot be parsed";
    mesh.error("BW1247_MESH_CONFIG", `\`data.mesh\` is not valid YAML: ${reason}`, "check its indentation");
  }
  return undefined;
}

function checkSettings(mesh: Field): void {
  for (const [name, field] of mesh.entries()) {
    const camel = name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    if (FIELDS.includes(name) || FIELDS.includes(camel)) continue;
    const meant = didYouMean(name, FIELDS);
    field.warning(
      "BW1320_UNKNOWN_SETTING",
      `MeshConfig has no setting ${quoted(name)}; Istio ignores it`,
      meant === undefined ? "remove it" : `did you mean \`${meant}\`?`,
    );
  }
  for (const [path, values] of ENUMS) checkEnum(mesh.at(...path), values);
  for (const name of STRINGS)
    if (mesh.at(name).present && typeof mesh.at(name).value !== "string") wrongType(mesh.at(name), "string");
  for (const name of LISTS)
    if (mesh.at(name).present && !Array.isArray(mesh.at(name).value)) wrongType(mesh.at(name), "array");
  for (const domain of [mesh.at("trustDomain"), ...mesh.at("trustDomainAliases").items()])
    checkTrustDomain(domain);
  checkTimeouts(mesh);
  checkPorts(mesh);
  checkLocality(mesh.at("localityLbSetting"), true);
  for (const setting of mesh.at("serviceSettings").items()) {
    for (const host of setting.at("hosts").items()) checkWildcardHost(host);
  }
  if (mesh.at("meshMTLS", "ecdhCurves").present)
    fail(mesh.at("meshMTLS", "ecdhCurves"), "curves cannot be set for mutual TLS in the mesh");
  checkProviders(mesh.at("extensionProviders"));
}

function checkEnum(field: Field, values: readonly string[]): void {
  if (!field.present || values.includes(field.text)) return;
  const meant = didYouMean(field.text, values);
  field.error(
    "BW1103_NOT_ONE_OF",
    `\`${field.name}\` is ${quoted(field.value)}; it must be one of ${values.join(", ")}`,
    meant === undefined ? undefined : `did you mean \`${meant}\`?`,
  );
}

function checkTrustDomain(domain: Field): void {
  if (!domain.present) return;
  const labels = domain.text.replace(/(?<=.)\.$/, "").split(".");
  if (labels.every(isDnsLabel)) return;
  fail(
    domain,
    `${quoted(domain.text)} is no trust domain`,
    "labels of letters, digits and `-` with dots between: `example.com`",
  );
}

const HOUR_NS = 3600e9;
const MILLISECOND_NS = 1e6;

function checkTimeouts(mesh: Field): void {
  const connect = mesh.at("connectTimeout");
  const ns = parseDurationNs(connect.text) ?? -1;
  if (connect.present && (ns < MILLISECOND_NS || ns > HOUR_NS || ns % MILLISECOND_NS !== 0)) {
    fail(
      connect,
      `\`${connect.name}\` is ${quoted(connect.value)}; it must be 1ms to 1h, in whole milliseconds`,
    );
  }
  const detection = mesh.at("protocolDetectionTimeout");
  const detectionNs = parseDurationNs(detection.text);
  if (
    detection.present &&
    (detectionNs === undefined || detectionNs < 0 || detectionNs % MILLISECOND_NS !== 0)
  ) {
    fail(
      detection,
      `\`${detection.name}\` is ${quoted(detection.value)}; it must be a duration in whole milliseconds`,
      "`5s`; `0s` waits for ever",
    );
  }
}

function checkPorts(mesh: Field): void {
  for (const port of [
    mesh.at("proxyListenPort"),
    mesh.at("defaultConfig", "proxyAdminPort"),
    mesh.at("defaultConfig", "statusPort"),
  ]) {
    if (port.present) checkPort(port);
  }
  const proxies = mesh.at("defaultConfig", "gatewayTopology", "numTrustedProxies");
  if (proxies.present && !(Number.isInteger(proxies.number) && proxies.number >= 0)) {
    fail(proxies, `\`${proxies.name}\` is ${quoted(proxies.value)}; it must be a whole number from 0`);
  }
}

/** Istio takes a mesh with a broken provider and refuses it where it is used: a warning. */
function checkProviders(providers: Field): void {
  const names = new Set<string>();
  for (const provider of providers.items()) {
    const name = provider.at("name").text;
    const warn = (message: string): void =>
      provider.warning("BW1321_EXTENSION_PROVIDER", message, "a policy that uses it refuses what it matches");
    if (name === "") warn("an extension provider without a name");
    else if (names.has(name)) warn(`the extension provider ${quoted(name)} stands twice`);
    names.add(name);
    for (const kind of ["envoyExtAuthzHttp", "envoyExtAuthzGrpc"]) {
      const authorizer = provider.at(kind);
      if (!authorizer.present) continue;
      const { number } = authorizer.at("port");
      if (!Number.isInteger(number) || number < 1 || number > 65_535)
        warn(`the extension provider ${quoted(name)} has no port from 1 to 65535`);
      const service = authorizer.at("service").text;
      const host = service.slice(service.indexOf("/") + 1);
      if (nameProblem(host) !== undefined && !isIpAddress(host))
        warn(`the extension provider ${quoted(name)} has no service that can be looked up`);
      const prefix = authorizer.at("pathPrefix").text;
      if (prefix !== "" && !prefix.startsWith("/"))
        warn(`the \`pathPrefix\` of the extension provider ${quoted(name)} must begin with a slash`);
    }
  }
}

function fail(field: Field, message: string, help?: string): void {
  field.error("BW1247_MESH_CONFIG", message, help);
}
