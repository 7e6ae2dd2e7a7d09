/** Where the Secrets are that Gateways and DestinationRules name. */

/** A Secret, or for roots alone a ConfigMap, that holds certificates. */
export interface SecretReference {
  readonly namespace: string;
  readonly name: string;
}

const KUBERNETES = "kubernetes://";

/**
 * A credential name as a proxy of this namespace may use it. A name of another namespace's Secret is kept as written, which no
 * Secret is called: proxies are given those of their own namespace only.
 * @see pilot/pkg/credentials/model of istio/istio
 */
export function resolveCredential(written: string, namespace: string): SecretReference {
  const name = written.startsWith(KUBERNETES) ? written.slice(KUBERNETES.length) : written;
  const slash = name.indexOf("/");
  if (slash < 0) return { namespace, name };
  const own = name.slice(0, slash) === namespace;
  return { namespace, name: own ? name.slice(slash + 1) : written };
}

/** @param written `namespace/name`. */
export function parseReference(written: string): SecretReference {
  const slash = written.indexOf("/");
  return { namespace: written.slice(0, slash), name: written.slice(slash + 1) };
}

/** The Secrets that may hold the roots that belong to a credential: the first that exists counts. */
export function rootsOfCredential(credential: SecretReference): readonly SecretReference[] {
  return [{ ...credential, name: `${credential.name}-cacert` }, credential];
}
