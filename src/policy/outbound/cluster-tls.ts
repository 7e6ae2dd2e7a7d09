/** The TLS of a cluster: what the DestinationRule asks for, else mutual TLS where the servers take it. */
import type { ClientTlsSettings } from "./resource-shapes.ts";
import type { ClusterTls } from "./types.ts";

export interface TlsContext {
  /** Identities that the service's endpoints may show. */
  readonly identities: readonly string[];
  /** SNI of mutual TLS by default; absent for clusters that resolve names by themselves. */
  readonly defaultSni?: string;
  readonly fromServiceEntry: boolean;
  /** Whether mutual TLS is used where nothing is asked for. */
  readonly autoMutual: boolean;
  /** Sidecars use a rule's credentialName only if the rule selects them: others have no access to the Secret. */
  readonly mayUseCredentials: boolean;
}

export interface TlsChoice {
  readonly settings?: ClusterTls;
  /** By auto mTLS: each endpoint decides whether it holds for it. */
  readonly automatic: boolean;
}

const CLEAR: TlsChoice = { automatic: false };

export function chooseTls(asked: ClientTlsSettings | undefined, context: TlsContext): TlsChoice {
  if (asked === undefined)
    return context.autoMutual ? { settings: mutual({}, context), automatic: true } : CLEAR;
  switch (asked.mode) {
    case "ISTIO_MUTUAL":
      return { settings: mutual(asked, context), automatic: false };
    case "SIMPLE":
    case "MUTUAL":
      return needsForeignCredentials(asked, context)
        ? CLEAR
        : {
            settings: originated(asked, asked.mode === "MUTUAL" ? "mutual" : "simple", context),
            automatic: false,
          };
    default:
      return CLEAR;
  }
}

function needsForeignCredentials(asked: ClientTlsSettings, context: TlsContext): boolean {
  const name = asked.credentialName ?? "";
  return name !== "" && !name.startsWith("configmap://") && !context.mayUseCredentials;
}

function mutual(asked: ClientTlsSettings, context: TlsContext): ClusterTls {
  const sni = nonEmpty(asked.sni) ?? context.defaultSni;
  const sans = nonEmptyList(asked.subjectAltNames) ?? nonEmptyList(context.identities);
  const resolvesNames = context.defaultSni === undefined;
  const insecure = asked.insecureSkipVerify === true;
  return {
    mode: "mtls",
    ...(sni === undefined ? {} : { sni }),
    ...(sans === undefined ? {} : { sans }),
    sniFromAuthority: sni === undefined,
    sansFromAuthority: resolvesNames && !insecure,
    insecureSkipVerify: false,
  };
}

function originated(asked: ClientTlsSettings, mode: "simple" | "mutual", context: TlsContext): ClusterTls {
  const insecure = asked.insecureSkipVerify === true;
  const sni = nonEmpty(asked.sni);
  const named = nonEmptyList(asked.subjectAltNames);
  const sans = insecure
    ? undefined
    : (named ?? (context.fromServiceEntry ? nonEmptyList(context.identities) : undefined));
  const resolvesNames = context.defaultSni === undefined;
  return {
    mode,
    ...(sni === undefined ? {} : { sni }),
    ...(sans === undefined ? {} : { sans }),
    sniFromAuthority: sni === undefined,
    sansFromAuthority: !insecure && (resolvesNames || (sni === undefined && named === undefined)),
    ...pickFiles(asked),
    insecureSkipVerify: insecure,
  };
}

function pickFiles(asked: ClientTlsSettings): Partial<ClusterTls> {
  const { caCertificates, clientCertificate, privateKey, credentialName } = asked;
  return {
    ...(nonEmpty(caCertificates) === undefined ? {} : { caCertificates: caCertificates ?? "" }),
    ...(nonEmpty(clientCertificate) === undefined ? {} : { clientCertificate: clientCertificate ?? "" }),
    ...(nonEmpty(privateKey) === undefined ? {} : { privateKey: privateKey ?? "" }),
    ...(nonEmpty(credentialName) === undefined ? {} : { credentialName: credentialName ?? "" }),
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function nonEmptyList(list: readonly string[] | undefined): readonly string[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}
