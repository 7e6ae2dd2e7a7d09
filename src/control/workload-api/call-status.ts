import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** A gRPC call's bad end. */
export class CallStatus extends Error implements ServiceError {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata = new Metadata();

  constructor(code: status, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}

export function permissionDenied(details: string): CallStatus {
  return new CallStatus(status.PERMISSION_DENIED, details);
}

export function invalidArgument(details: string): CallStatus {
  return new CallStatus(status.INVALID_ARGUMENT, details);
}

/** The pod is gone, or its identity was revoked or blocked. */
const DENIALS: ReadonlySet<string> = new Set([
  "BW_TOKEN_POD_GONE",
  "BW_CA_FOREIGN_IDENTITY",
  "BW_CA_CREDENTIAL_CUT_OFF",
  "BW_CA_IDENTITY_BLOCKED",
]);

/** That this caller will never be given anything, or that asking again may help; never what went wrong inside. */
export function statusOf(error: unknown): CallStatus {
  if (error instanceof CallStatus) return error;
  const code = error instanceof BulwarkError ? error.code : "";
  if (DENIALS.has(code)) return permissionDenied("no identity is issued to this workload");
  return new CallStatus(status.UNAVAILABLE, "no identity can be issued at present");
}
