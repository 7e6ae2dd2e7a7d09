/** What Node's and OpenSSL's words for a failed connection mean, why they come, and how to mend it. */
import type { InboundCause } from "../policy/inbound-cause.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";

interface FailureRow {
  /** Of Node's `code` of the error (https://nodejs.org/api/errors.html, openssl-verify(1), RFC 8446 §6). */
  readonly code: RegExp;
  /** Said of the other side, whichever it is. */
  readonly what: string;
  /** For who connects. */
  readonly mend: string;
  /** What it is in the words of decisions, where a client of ours is the other side. */
  readonly cause?: InboundCause;
}

/** The first that matches counts. */
const FAILURES: readonly FailureRow[] = [
  {
    code: /^ECONNREFUSED$/,
    what: "nothing listens there",
    mend: "start the server, or correct its address and port",
  },
  {
    code: /^(ECONNRESET|EPIPE|ECONNABORTED)$/,
    what: "the other side broke the connection off",
    mend: "its own log says why: it may have ended, or not speak this protocol on this port",
  },
  {
    code: /^(ETIMEDOUT|ERR_TLS_HANDSHAKE_TIMEOUT)$/,
    what: "the other side did not answer in time",
    mend: "see whether it runs, and whether something on the way drops packets",
  },
  {
    code: /^(EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EHOSTDOWN|ENETDOWN)$/,
    what: "no way leads there from this machine",
    mend: "correct the address, or the machine's network",
  },
  {
    code: /^(ENOTFOUND|EAI_[A-Z]+|ENODATA|ESERVFAIL)$/,
    what: "the name cannot be resolved",
    mend: "correct the name, or this machine's DNS; offline, run the mesh with --simulate-external",
  },
  {
    code: /^(EMFILE|ENFILE)$/,
    what: "this process may open no more files or sockets",
    mend: "raise the limit (`ulimit -n`)",
  },
  {
    code: /^(CERT_HAS_EXPIRED|BW_PEER_EXPIRED)$/,
    what: "the other side's certificate has ended",
    mend: "renew it there; see whether both clocks are right",
    cause: "untrusted-certificate",
  },
  {
    code: /^(CERT_NOT_YET_VALID|BW_PEER_NOT_YET_VALID)$/,
    what: "the other side's certificate is not valid yet",
    mend: "see whether both clocks are right",
    cause: "untrusted-certificate",
  },
  {
    code: /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|CERT_UNTRUSTED|CERT_SIGNATURE_FAILURE|CERT_CHAIN_TOO_LONG|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|CERT_REJECTED|ERR_SSL_CERTIFICATE_VERIFY_FAILED)$/,
    what: "the other side's certificate is of no authority that is trusted here",
    mend: "trust its authority (caCertificates of the DestinationRule, --cacert of a call), or have it certified by one that is",
    cause: "untrusted-certificate",
  },
  {
    code: /^(CERT_REVOKED|CRL_\w+|BW_PEER_REVOKED)$/,
    what: "the other side's certificate was revoked",
    mend: "`bulwark ca status` says when and why; `bulwark ca restore` lets an identity back in",
    cause: "certificate-revoked",
  },
  {
    code: /^BW_OWN_CERTIFICATE_REVOKED$/,
    what: "this side's own certificate was revoked",
    mend: "`bulwark ca status` says when and why; `bulwark ca restore` lets an identity back in",
    cause: "certificate-revoked",
  },
  {
    code: /^BW_REVOCATION_UNKNOWN$/,
    what: "what is revoked is not known: the control plane has been silent for too long",
    mend: "see why it is away, or give it more time (`up --revocation-max-age`)",
    cause: "revocation-unknown",
  },
  {
    code: /^BW_PEER_FOREIGN_TRUST_DOMAIN$/,
    what: "the other side is of another trust domain",
    mend: "add its trust domain to trustDomainAliases, if it is to count as this mesh's",
    cause: "foreign-trust-domain",
  },
  {
    code: /^BW_PEER_(NO_IDENTITY|BAD_CERTIFICATE)$/,
    what: "the other side's certificate is none of a workload of this mesh",
    mend: "have it certified by the mesh's CA",
    cause: "untrusted-certificate",
  },
  {
    code: /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    what: "the other side's certificate is for other names than the one that was asked for",
    mend: "correct the host, or sni and subjectAltNames of the DestinationRule",
  },
  {
    code: /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNKNOWN_PROTOCOL|BAD_RECORD_TYPE|RECORD_LAYER_FAILURE)$/,
    what: "the other side does not speak TLS here",
    mend: "correct the port, or take TLS off (tls mode DISABLE in the DestinationRule, http:// in a call)",
  },
  {
    code: /^ERR_SSL_(.*PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE|VERSION_TOO_LOW)$/,
    what: "the two sides have no TLS version in common",
    mend: "let the other side offer TLS 1.2 or 1.3",
  },
  {
    code: /^ERR_SSL_.*UNRECOGNIZED_NAME$/,
    what: "the other side serves nothing under this server name (SNI)",
    mend: "correct the host, or sni of the DestinationRule",
  },
  {
    code: /^ERR_SSL_(PEER_DID_NOT_RETURN_A_CERTIFICATE|.*CERTIFICATE_REQUIRED)$/,
    what: "a client certificate is required, and none was shown",
    mend: "give one (mode MUTUAL of the DestinationRule with clientCertificate and privateKey)",
    cause: "no-client-certificate",
  },
  {
    code: /^ERR_SSL_.*ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_\w+|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)$/,
    what: "the other side refused the certificate that it was shown",
    mend: "let it trust the authority of that certificate, or show another",
  },
  {
    code: /^ERR_SSL_.*NO_APPLICATION_PROTOCOL$/,
    what: "the two sides have no protocol in common (ALPN)",
    mend: "name the port by what the server speaks (http, http2, grpc, tls, tcp)",
  },
  {
    code: /^ERR_SSL_(.*HANDSHAKE_FAILURE|NO_SHARED_CIPHER|NO_CIPHERS_AVAILABLE|NO_SUITABLE_\w+)$/,
    what: "the other side refused the TLS handshake",
    mend: "most often it wants a server name (sni of the DestinationRule), a client certificate, or other ciphers",
  },
  {
    code: /^ERR_SSL_/,
    what: "the TLS handshake failed",
    mend: "see what the other side speaks on this port",
  },
];

function rowOf(code: string): FailureRow | undefined {
  return FAILURES.find((row) => row.code.test(code));
}

/** The cause, in the words of decisions, of a handshake that failed on our side; undefined where no decision has a word for it. */
export function handshakeCause(code: string): InboundCause | undefined {
  return rowOf(code)?.cause;
}

/** Why a handshake failed on our side: our own words, or those of its code. */
export function handshakeText({
  code,
  message,
}: {
  readonly code: string;
  readonly message: string;
}): string {
  return code.startsWith("BW_") ? `${message} (${code})` : failureText({ code, message });
}

/** `what happened (CODE)`; the message itself, without OpenSSL's file names, where the code is not known. */
export function failureText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const what = typeof code === "string" ? rowOf(code)?.what : undefined;
  if (what !== undefined) return `${what} (${code})`;
  const text = plainMessage(message ?? String(error));
  return code === undefined || text.includes(code) ? text : `${text} (${code})`;
}

/** The same error in words for whoever connected, with how to mend it. Our own errors have such words already. */
export function explainedFailure(error: Error): Error {
  const { code } = error as NodeJS.ErrnoException;
  const row = error instanceof BulwarkError || code === undefined ? undefined : rowOf(code);
  if (row === undefined) return error;
  return Object.assign(new Error(`${failureText(error)}: ${row.mend}`, { cause: error }), { code });
}

/** `40031C…:error:0A000410:SSL routines:function:reason:file:line:` holds one word for a person: the reason. */
function plainMessage(message: string): string {
  const line = message.split("\n", 1)[0] ?? "";
  const [, reason] = /^[0-9A-F]*:?error:[0-9A-F]+:[^:]*:[^:]*:([^:]*)/.exec(line) ?? [];
  return reason ?? line;
}
