import { type Field, quoted } from "./field.ts";
import { checkLabelKey, checkLabels, checkLabelValue } from "./labels.ts";

const WITH_VALUES: ReadonlySet<string> = new Set(["In", "NotIn"]);
const WITHOUT_VALUES: ReadonlySet<string> = new Set(["Exists", "DoesNotExist"]);

/** A Kubernetes LabelSelector as the API server takes it (ValidateLabelSelector); an empty one is good, and matches everything. */
export function checkLabelSelector(selector: Field): void {
  checkLabels(selector.at("matchLabels"));
  for (const requirement of selector.at("matchExpressions").items()) {
    checkLabelKey(requirement.at("key"), requirement.at("key").text);
    checkOperator(requirement);
    for (const value of requirement.at("values").items()) checkLabelValue(value);
  }
}

function checkOperator(requirement: Field): void {
  const operator = requirement.at("operator");
  const values = requirement.at("values");
  if (WITH_VALUES.has(operator.text)) {
    if (values.size === 0)
      values.error("BW1202_BAD_SELECTOR", `\`${operator.text}\` needs values`, "name at least one value");
  } else if (WITHOUT_VALUES.has(operator.text)) {
    if (values.size > 0)
      values.error("BW1202_BAD_SELECTOR", `\`${operator.text}\` takes no values`, "remove `values`");
  } else
    operator.error(
      "BW1202_BAD_SELECTOR",
      `${quoted(operator.text)} is no operator of a selector`,
      "one of In, NotIn, Exists, DoesNotExist",
    );
}
