import { suggestion } from "../did-you-mean.ts";
import {
  checkNotEmpty,
  checkPortTexts,
  checkServiceAccounts,
  checkWildcards,
} from "./authorization-values.ts";
import { type Field, quoted } from "./field.ts";
import { checkIpBlock } from "./host-names.ts";

/** What the values of each attribute must look like; attributes with a name in brackets are below. */
const ATTRIBUTES: Readonly<Record<string, (values: Field) => void>> = Object.assign(Object.create(null), {
  "source.ip": checkIpBlocks,
  "remote.ip": checkIpBlocks,
  "destination.ip": checkIpBlocks,
  "destination.port": checkPorts,
  "source.serviceAccount": checkServiceAccounts,
  "source.trustDomain": checkWildcards,
  "source.namespace": checkNotEmpty,
  "source.principal": checkNotEmpty,
  "request.auth.principal": checkNotEmpty,
  "request.auth.audiences": checkNotEmpty,
  "request.auth.presenter": checkNotEmpty,
  "connection.sni": checkNotEmpty,
});

const BRACKETED: readonly string[] = [
  "request.headers",
  "request.auth.claims",
  "experimental.envoy.filters.",
];

const GONE: readonly (readonly [RegExp, string])[] = [
  [/^destination\.namespace$/, "the policy's own namespace says where it applies"],
  [/^destination\.labels/, "the policy's selector says where it applies"],
  [/^destination\.(name|user)$/, "it existed in v1alpha1 only; use the policy's selector"],
];

/** One entry of `when`. */
export function checkCondition(when: Field): void {
  const key = when.at("key");
  if (key.text === "") {
    when.error(
      "BW1214_CONDITION",
      `\`${when.name}.key\` must not be empty`,
      "name an attribute, like `request.headers[x-team]`",
    );
    return;
  }
  const lists = [when.at("values"), when.at("notValues")];
  if (lists.every((list) => list.size === 0)) {
    when.error(
      "BW1214_CONDITION",
      `the condition on ${quoted(key.text)} has neither \`values\` nor \`notValues\``,
      "add one of them",
    );
    return;
  }
  const bracketed = BRACKETED.find((prefix) => key.text.startsWith(prefix));
  const check = ATTRIBUTES[key.text];
  if (bracketed !== undefined) {
    if (!hasNameInBrackets(key.text)) {
      key.error(
        "BW1214_CONDITION",
        `${quoted(key.text)} must have a name in brackets`,
        `write \`${bracketed}[name]\``,
      );
    }
    for (const list of lists) checkNotEmpty(list);
  } else if (check !== undefined) for (const list of lists) check(list);
  else unknownAttribute(key);
}

function hasNameInBrackets(key: string): boolean {
  const open = key.indexOf("[");
  return key.endsWith("]") && open > 0 && open < key.length - 2;
}

function unknownAttribute(key: Field): void {
  const gone = GONE.find(([pattern]) => pattern.test(key.text))?.[1];
  const meant = suggestion(key.text, [...Object.keys(ATTRIBUTES), ...BRACKETED.map((name) => `${name}[…]`)]);
  key.error(
    "BW1214_CONDITION",
    `${quoted(key.text)} is no attribute of a condition`,
    gone ??
      (meant === ""
        ? `attributes are ${Object.keys(ATTRIBUTES).join(", ")}, request.headers[…], request.auth.claims[…]`
        : meant),
  );
}

function checkIpBlocks(values: Field): void {
  checkNotEmpty(values);
  for (const value of values.items()) if (value.text !== "") checkIpBlock(value);
}

function checkPorts(values: Field): void {
  checkNotEmpty(values);
  checkPortTexts(values);
}
