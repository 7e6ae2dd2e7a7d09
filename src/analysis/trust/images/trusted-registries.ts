/** Where images may come from. */
import { fullName, type ImageReference } from "./image-reference.ts";

/**
 * Where Istio's and Kubernetes' own images are published. A mesh's own images come from elsewhere: its owner names where
 * (`audit --trusted-registry`), and with that this list no longer counts.
 * Sources: Istio's Helm charts (`global.hub`), registry.k8s.io's announcement.
 */
export const DEFAULT_TRUSTED_REGISTRIES: readonly string[] = [
  "docker.io/istio",
  "gcr.io/istio-release",
  "registry.istio.io/release",
  "registry.k8s.io",
];

/** @returns `gcr.io/team` of `https://gcr.io/team/`; nothing for what is no registry or path in one */
export function parseTrustedRegistry(text: string): string | undefined {
  const plain = text.replace(/\/$/, "");
  return /^[a-zA-Z0-9.-]+(:[0-9]+)?(\/[a-z0-9._-]+)*$/.test(plain) ? plain : undefined;
}

/** By whole steps of the path: `gcr.io/team` is not `gcr.io/team-of-others`. */
export function isTrusted(image: ImageReference, trusted: readonly string[]): boolean {
  const name = fullName(image);
  return trusted.some((prefix) => name === prefix || name.startsWith(`${prefix}/`));
}
