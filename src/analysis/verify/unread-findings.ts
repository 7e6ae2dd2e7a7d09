/** What no proof holds for: pods of which no file says enough. */
import type { Mesh } from "../../model/mesh.ts";
import { mayHaveLabels, type UnreadPods, unreadPods } from "../../model/unread-pods.ts";
import type { Invariant } from "./invariant.ts";
import type { Finding } from "./verify-access.ts";

/** One for all objects that make pods which the invariant may select; none where there are none. */
export function unreadFindings(
  { resources }: Mesh,
  { scope = {} }: Pick<Invariant, "scope">,
): readonly Finding[] {
  const { namespace, labels = {} } = scope;
  const concerned = (own: UnreadPods): boolean =>
    (namespace === undefined || own.namespace === namespace) && mayHaveLabels(own, labels);
  const names = unreadPods(resources)
    .filter(concerned)
    .map(({ name }) => name);
  if (names.length === 0) return [];
  const makes = names.length === 1 ? "makes pods that are" : "make pods that are";
  const why = `not analysed: ${names.join(", ")} ${makes} in no file`;
  return [{ workloads: [], outcome: "unclear", why }];
}
