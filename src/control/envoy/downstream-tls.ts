/** The mesh's mutual TLS on the server's side (`DownstreamTlsContext`). */
import type { MeshConfig } from "../../model/mesh-config.ts";
import { type EnvoyObject, extension } from "./envoy-object.ts";

/** A workload's own certificate and whom it trusts, as PEM files that Envoy reads. */
export interface IdentityFiles {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustBundle: string;
}

const CIPHERS_BEFORE_TLS13 = [
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
];

/** INVARIANT: these never name `istio`, by which chains are chosen: the client would then not agree on what it speaks inside. */
const ALPN = {
  http: ["h2", "http/1.1"],
  tcp: ["istio-peer-exchange", "h2", "http/1.1"],
} as const;

/** A client certificate is required, of the mesh's roots, whose URI names the mesh's trust domain or an alias. */
export function downstreamTls(
  config: MeshConfig,
  protocol: "http" | "tcp",
  identity: IdentityFiles,
): EnvoyObject {
  const trustDomains = [config.trustDomain, ...config.trustDomainAliases];
  return extension(
    "envoy.transport_sockets.tls",
    "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    {
      require_client_certificate: true,
      common_tls_context: {
        alpn_protocols: ALPN[protocol],
        tls_params: {
          tls_minimum_protocol_version: minimumVersion(config),
          tls_maximum_protocol_version: "TLSv1_3",
          cipher_suites: CIPHERS_BEFORE_TLS13,
        },
        tls_certificates: [
          {
            certificate_chain: { filename: identity.certificateChain },
            private_key: { filename: identity.privateKey },
          },
        ],
        validation_context: {
          trusted_ca: { filename: identity.trustBundle },
          match_typed_subject_alt_names: [...new Set(trustDomains)].map((trustDomain) => ({
            san_type: "URI",
            matcher: { prefix: `spiffe://${trustDomain}/` },
          })),
        },
      },
    },
  );
}

function minimumVersion({ raw }: MeshConfig): string {
  const { minProtocolVersion } = (raw.meshMTLS ?? {}) as { readonly minProtocolVersion?: unknown };
  return minProtocolVersion === "TLSV1_3" ? "TLSv1_3" : "TLSv1_2";
}
