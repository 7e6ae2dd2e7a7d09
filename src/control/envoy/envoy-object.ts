/** Envoy's configuration as JSON, in protobuf's JSON mapping with the field names of the `.proto` files. */
export type EnvoyObject = { readonly [field: string]: unknown };

/**
 * An extension: its name and its configuration.
 * @param type the message's full name without `envoy.`: `extensions.filters.http.rbac.v3.RBAC`.
 */
export function extension(name: string, type: string, fields: EnvoyObject = {}): EnvoyObject {
  return { name, typed_config: { "@type": `type.googleapis.com/envoy.${type}`, ...fields } };
}
