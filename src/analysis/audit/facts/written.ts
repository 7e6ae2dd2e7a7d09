/** Fields of what somebody wrote, whatever type they have: rules look at rejected resources, too, and at kinds without a schema. */

export type Fields = Readonly<Record<string, unknown>>;

/** Empty where it is no mapping. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** Empty where it is no list. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The mappings of a list, each with its place in it. */
export function* itemsOf(value: unknown): Iterable<readonly [index: number, item: Fields]> {
  for (const [index, item] of listOf(value).entries()) yield [index, fieldsOf(item)];
}

/** Empty where it is no string. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function textsOf(value: unknown): readonly string[] {
  return listOf(value).filter((one): one is string => typeof one === "string");
}

/** The entries whose values are strings: labels, selectors. */
export function labelsOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(fieldsOf(value)).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    ),
  );
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

/** `app=a,tier=b`, keys in order, as Kubernetes prints selectors. */
export function selectorText(selector: Readonly<Record<string, string>>): string {
  return Object.keys(selector)
    .sort()
    .map((key) => `${key}=${selector[key]}`)
    .join(",");
}
