import { type Field, quoted } from "./field.ts";

const PART = "[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?";
const NAME = "(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY = new RegExp(`^(${PART}(?:\\.${PART})*/)?(${NAME})$`);
const VALUE = new RegExp(`^(${NAME})?$`);

/** Keys and values that Kubernetes would take as labels. */
export function checkLabels(labels: Field): void {
  for (const [key, value] of labels.entries()) {
    if (!isLabelKey(key)) value.errorAtKey("BW1245_BAD_LABEL", `${quoted(key)} is no label key`, KEY_HELP);
    checkLabelValue(value);
  }
}

const KEY_HELP = "like `app` or `example.com/app`";

function isLabelKey(key: string): boolean {
  const [, prefix = "", name = ""] = KEY.exec(key.slice(0, 512)) ?? [];
  return name !== "" && prefix.length <= 254 && name.length <= 63 && key.length <= 512;
}

export function checkLabelKey(field: Field, key: string): void {
  if (!isLabelKey(key)) field.error("BW1245_BAD_LABEL", `${quoted(key)} is no label key`, KEY_HELP);
}

export function checkLabelValue(value: Field): void {
  if (!VALUE.test(value.text.slice(0, 512)) || value.text.length > 63)
    value.error(
      "BW1245_BAD_LABEL",
      `${quoted(value.text)} is no label value`,
      "at most 63 letters, digits, `-`, `_` and `.`",
    );
}

/** `matchLabels` of a policy, or the `labels` of an older selector: names only, no wildcards. */
export function checkSelector(selector: Field, key: "matchLabels" | "labels"): void {
  if (!selector.present) return;
  const labels = selector.at(key);
  for (const [label, value] of labels.entries()) {
    if (label === "") value.errorAtKey("BW1202_BAD_SELECTOR", `\`${labels.name}\` has an empty key`);
    if (label.includes("*"))
      value.errorAtKey(
        "BW1202_BAD_SELECTOR",
        `a selector knows no wildcards: key ${quoted(label)}`,
        WILDCARD_HELP,
      );
    if (value.text.includes("*"))
      value.error(
        "BW1202_BAD_SELECTOR",
        `a selector knows no wildcards: value ${quoted(value.text)}`,
        WILDCARD_HELP,
      );
    if (value.text.length > 63)
      value.error("BW1105_OUT_OF_BOUNDS", `\`${value.name}\` is longer than 63 characters`);
  }
  if (labels.size === 0) {
    selector.warning(
      "BW1301_EMPTY_SELECTOR",
      `\`${selector.name}\` names no labels`,
      "leave the selector out to mean the whole namespace, or name labels",
    );
  }
}

const WILDCARD_HELP = "select by exact labels; leave the selector out to select everything in the namespace";

/** At most one of `selector`, `targetRef`, `targetRefs`, and each reference to something that policies can be attached to. */
export function checkAttachment(spec: Field): void {
  const ways = ["selector", "targetRef", "targetRefs"].filter((key) => spec.at(key).present);
  if (ways.length > 1) {
    spec
      .at(ways[1] ?? "")
      .errorAtKey(
        "BW1201_SELECTOR_AND_TARGET",
        `only one of ${ways.map((way) => `\`${way}\``).join(", ")} may be set`,
        "a selector is for sidecars and gateways, targetRefs for waypoints and the Gateway API: write two policies",
      );
  }
  checkSelector(spec.at("selector"), "matchLabels");
  if (spec.at("targetRef").present) checkTargetRef(spec.at("targetRef"));
  if (spec.at("targetRefs").size > 16) {
    spec.at("targetRefs").error("BW1105_OUT_OF_BOUNDS", "`spec.targetRefs` has more than 16 entries");
  }
  for (const ref of spec.at("targetRefs").items()) checkTargetRef(ref);
}

const TARGETS: ReadonlySet<string> = new Set([
  "/Service",
  "core/Service",
  "networking.istio.io/ServiceEntry",
  "gateway.networking.k8s.io/Gateway",
  "gateway.networking.k8s.io/GatewayClass",
]);

function checkTargetRef(ref: Field): void {
  const target = `${ref.at("group").text}/${ref.at("kind").text}`;
  if (ref.at("name").text === "") ref.error("BW1205_BAD_TARGET_REF", `\`${ref.name}.name\` must be set`);
  if (ref.at("namespace").text !== "") {
    ref
      .at("namespace")
      .error(
        "BW1205_BAD_TARGET_REF",
        "a policy cannot be attached to something in another namespace",
        "move the policy to the namespace of its target, and leave `namespace` out",
      );
  }
  if (!TARGETS.has(target)) {
    ref
      .at("kind")
      .error(
        "BW1205_BAD_TARGET_REF",
        `a policy cannot be attached to ${quoted(target)}`,
        "targets are Service, ServiceEntry (group networking.istio.io), Gateway and GatewayClass (group gateway.networking.k8s.io)",
      );
  }
}
