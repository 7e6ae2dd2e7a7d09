/** `experimental.envoy.filters.NAME[KEY]`: what some filter of Envoy has noted about the request. */
import type { Field } from "./condition.ts";

const KEY = /^experimental\.(envoy\.filters\.[^[]*)\[(.*)\]$/;

/**
 * Which filters an Envoy has, and what they note, no file of a mesh tells. Undefined where the key is none of these.
 * @see https://istio.io/latest/docs/reference/config/security/conditions/
 */
export function filterMetadataField(key: string): Field | undefined {
  return KEY.test(key) ? FILTER_METADATA : undefined;
}

const FILTER_METADATA: Field = {
  http: false,
  unknowable: true,
  compile: () => () => false,
  seen: () => "metadata of an Envoy filter, which nobody here knows",
};
