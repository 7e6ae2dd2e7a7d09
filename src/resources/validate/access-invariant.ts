import { checkRule } from "./authorization-policy.ts";
import type { Field } from "./field.ts";
import { checkSelector } from "./labels.ts";
import type { FieldType } from "./newer-fields.ts";

/** What an AccessInvariant can say of the requests that its rules match. */
const CLAIMS: readonly string[] = ["never", "always", "only"];

const strings: FieldType = { list: "string" };

/** Each name, and with `not` before it. */
function withNegations(names: readonly string[]): Readonly<Record<string, FieldType>> {
  return Object.fromEntries(
    names.flatMap((name) => [
      [name, strings],
      [`not${name.slice(0, 1).toUpperCase()}${name.slice(1)}`, strings],
    ]),
  );
}

/** AuthorizationPolicy's own rules. */
const rules: FieldType = {
  list: {
    fields: {
      from: {
        list: {
          fields: {
            source: {
              fields: withNegations([
                "principals",
                "requestPrincipals",
                "namespaces",
                "serviceAccounts",
                "trustDomains",
                "ipBlocks",
                "remoteIpBlocks",
              ]),
            },
          },
        },
      },
      to: {
        list: { fields: { operation: { fields: withNegations(["hosts", "ports", "methods", "paths"]) } } },
      },
      when: { list: { fields: { key: "string", values: strings, notValues: strings }, required: ["key"] } },
    },
  },
};

/** `apiVersion/Kind` → the type of `spec`. */
export const BULWARK_KINDS: Readonly<Record<string, FieldType>> = {
  "bulwark.dev/v1/AccessInvariant": {
    fields: {
      selector: { fields: { matchLabels: { map: "string" } } },
      never: rules,
      always: rules,
      only: rules,
    },
  },
};

/** Exactly one claim, with rules as AuthorizationPolicy has them. */
export function checkAccessInvariant(spec: Field): void {
  checkSelector(spec.at("selector"), "matchLabels");
  const made = CLAIMS.filter((claim) => spec.at(claim).present);
  const [claim, other] = made;
  if (claim === undefined) {
    spec.error(
      "BW1107_ONE_OF",
      "an AccessInvariant needs one of `never`, `always` and `only`",
      "`never` lists requests that must not be let through, `always` those that must, `only` all that may",
    );
  } else if (other !== undefined) {
    spec
      .at(other)
      .errorAtKey(
        "BW1107_ONE_OF",
        `only one of ${made.map((one) => `\`${one}\``).join(", ")} may be set`,
        "write an AccessInvariant for each",
      );
  }
  for (const one of made) checkRules(spec.at(one));
}

function checkRules(list: Field): void {
  if (list.size === 0)
    list.error(
      "BW1206_NO_RULES",
      `\`${list.name}\` without rules says nothing`,
      "add a rule; the empty rule `- {}` is every request",
    );
  for (const rule of list.items()) checkRule(rule, false);
}
