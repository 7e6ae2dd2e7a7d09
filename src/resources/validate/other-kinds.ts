import { checkUnixAddress, UNIX_PREFIX } from "./bind.ts";
import { checkDuration } from "./duration.ts";
import { type Field, quoted } from "./field.ts";
import { checkPort } from "./host-names.ts";
import { checkAttachment, checkLabels, checkSelector } from "./labels.ts";

/** Kinds that Bulwark reads without acting on them: the rules of their schemas that the generated validators leave out. */
export const OTHER_CHECKS: Readonly<Record<string, (spec: Field) => void>> = {
  EnvoyFilter: checkEnvoyFilter,
  ProxyConfig: (spec) => checkSelector(spec.at("selector"), "matchLabels"),
  Telemetry: checkTelemetry,
  TrafficExtension: checkTrafficExtension,
  WasmPlugin: (spec) => {
    checkAttachment(spec);
    checkWasm(spec);
  },
  WorkloadGroup: checkWorkloadGroup,
};

function checkEnvoyFilter(spec: Field): void {
  checkSelector(spec.at("workloadSelector"), "labels");
  if (spec.at("workloadSelector").present && spec.at("targetRefs").present) {
    spec
      .at("targetRefs")
      .errorAtKey("BW1201_SELECTOR_AND_TARGET", "only one of `workloadSelector` and `targetRefs` may be set");
  }
  for (const patch of spec.at("configPatches").items()) {
    const match = patch.at("match");
    if (match.at("waypoint", "portNumber").present) checkPort(match.at("waypoint", "portNumber"));
    const isWaypoint = match.at("context").text === "WAYPOINT";
    if (match.present && isWaypoint !== match.at("waypoint").present) {
      match.error("BW1248_EXTENSION", "`waypoint` matches and `context: WAYPOINT` belong together");
    }
  }
}

function checkTelemetry(spec: Field): void {
  checkAttachment(spec);
  for (const metrics of spec.at("metrics").items()) {
    checkDuration(metrics.at("reportingInterval"));
    for (const override of metrics.at("overrides").items()) {
      for (const [name, tag] of override.at("tagOverrides").entries()) checkTag(tag, name);
    }
  }
}

function checkTag(tag: Field, name: string): void {
  const operation = tag.at("operation").text || "UPSERT";
  const value = tag.at("value");
  if (operation === "UPSERT" && value.text === "")
    tag.error("BW1248_EXTENSION", `the tag ${quoted(name)} needs a \`value\``, "or `operation: REMOVE`");
  if (operation === "REMOVE" && value.present)
    value.errorAtKey("BW1248_EXTENSION", `the tag ${quoted(name)} is removed: it takes no \`value\``);
}

function checkTrafficExtension(spec: Field): void {
  checkAttachment(spec);
  const { wasm, lua } = { wasm: spec.at("wasm"), lua: spec.at("lua") };
  if (wasm.present === lua.present)
    spec.error("BW1248_EXTENSION", "a TrafficExtension has either `wasm` or `lua`");
  const code = lua.at("inlineCode");
  if (lua.present && (code.text === "" || Buffer.byteLength(code.text) > 65_536)) {
    code.error("BW1248_EXTENSION", "`lua.inlineCode` must have 1 to 65536 bytes");
  }
  if (wasm.present) checkWasm(wasm);
  for (const match of spec.at("match").items())
    for (const port of match.at("ports").items()) checkPort(port.at("number"));
}

const WASM_SCHEMES: ReadonlySet<string> = new Set(["file", "http", "https", "oci"]);

function checkWasm(wasm: Field): void {
  const url = wasm.at("url");
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\//.exec(url.text)?.[1];
  const isUrl =
    scheme === undefined ? URL.canParse(`http://${url.text}`) : WASM_SCHEMES.has(scheme.toLowerCase());
  if (url.text === "" || !isUrl) {
    url.error(
      "BW1248_EXTENSION",
      `\`${url.name}\` is ${quoted(url.text)}`,
      "an oci://, https://, http:// or file:// URL",
    );
  }
  const names = new Set<string>();
  for (const variable of wasm.at("vmConfig", "env").items()) {
    const name = variable.at("name").text;
    if (names.has(name)) variable.error("BW1220_DUPLICATE", `the variable ${quoted(name)} stands twice`);
    names.add(name);
    if (variable.at("valueFrom").text === "HOST" && variable.at("value").present) {
      variable
        .at("value")
        .errorAtKey(
          "BW1248_EXTENSION",
          `the variable ${quoted(name)} comes from the host: it takes no \`value\``,
        );
    }
  }
}

function checkWorkloadGroup(spec: Field): void {
  checkLabels(spec.at("metadata", "labels"));
  const address = spec.at("template", "address");
  if (address.text.startsWith(UNIX_PREFIX)) checkUnixAddress(address, address.text.slice(UNIX_PREFIX.length));
  for (const [, port] of spec.at("template", "ports").entries()) checkPort(port);
  const probe = spec.at("probe");
  for (const method of ["httpGet", "tcpSocket", "grpc"])
    if (probe.at(method).present) checkPort(probe.at(method, "port"));
  const scheme = probe.at("httpGet", "scheme");
  if (!["", "HTTP", "HTTPS"].includes(scheme.text))
    scheme.error("BW1103_NOT_ONE_OF", `\`${scheme.name}\` must be HTTP or HTTPS`);
}
