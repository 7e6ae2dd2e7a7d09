import { status } from "@grpc/grpc-js";
import { BulwarkError } from "../../resources/bulwark-error.ts";

export interface GrpcRefusal {
  readonly code: status;
  readonly details: string;
}

const AUTHENTICATION = { code: status.UNAUTHENTICATED, details: "request authenticate failure" };
const IMPERSONATION = {
  code: status.UNAUTHENTICATED,
  details: "request impersonation authentication failure",
};

/**
 * What a caller is told: for who it is, as little as istiod says; for what is wrong with its request, everything. Where istiod has no such
 * case, a code that clients try again on stands only where trying again can help.
 * @see Istio, security/pkg/server/ca/server.go and security/pkg/pki/error/error.go
 */
export function grpcRefusal(error: unknown): GrpcRefusal {
  if (!(error instanceof BulwarkError)) return { code: status.INTERNAL, details: "internal error" };
  const { code, message } = error;
  if (code.startsWith("BW_CA_IMPERSONATION_")) return IMPERSONATION;
  if (code.startsWith("BW_CA_CSR_") || code.startsWith("BW_CA_TTL_"))
    return { code: status.INVALID_ARGUMENT, details: `CSR signing error (${code}: ${message})` };
  if (code === "BW_CA_METADATA" || code === "BW_PROTOBUF")
    return { code: status.INVALID_ARGUMENT, details: message };
  if (code === "BW_CA_RATE_LIMIT" || code === "BW_CA_BUSY")
    return { code: status.RESOURCE_EXHAUSTED, details: message };
  if (code === "BW_CA_STORE_CUT_OFF" || code === "BW_CA_STORE_BLOCKED") return AUTHENTICATION;
  if (code === "BW_CA_STORE_KEY_REVOKED")
    return { code: status.INVALID_ARGUMENT, details: `CSR signing error (${code}: ${message})` };
  if (code.startsWith("BW_CA_STORE_")) return { code: status.UNAVAILABLE, details: "try again" };
  if (PROOFS.some((prefix) => code.startsWith(prefix))) return AUTHENTICATION;
  return { code: status.INTERNAL, details: "CSR signing error" };
}

/** What is wrong with what the caller showed. */
const PROOFS = [
  "BW_TOKEN_",
  "BW_PEER_",
  "BW_OIDC_",
  "BW_SPIFFE_ID_",
  "BW_CA_CERTIFICATE_",
  "BW_CA_CREDENTIAL",
  "BW_CA_NO_CREDENTIALS",
  "BW_CA_IDENTITY_GONE",
  "BW_CA_IDENTITY_BLOCKED",
  "BW_CA_FOREIGN_IDENTITY",
];
