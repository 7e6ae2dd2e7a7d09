import { type Field, quoted } from "./field.ts";

const CIPHERS: ReadonlySet<string> = new Set([
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES128-SHA",
  "ECDHE-RSA-AES128-SHA",
  "ECDHE-ECDSA-AES256-SHA",
  "ECDHE-RSA-AES256-SHA",
  "AES128-GCM-SHA256",
  "AES256-GCM-SHA384",
  "AES128-SHA",
  "AES256-SHA",
  "DES-CBC3-SHA",
]);

/** TLS that a gateway, or a sidecar's ingress, accepts. */
export function checkServerTls(tls: Field): void {
  if (!tls.present) return;
  warnCiphers(tls);
  checkCredentialFields(tls);
  const mode = tls.at("mode").text || "PASSTHROUGH";
  const isSet = (key: string): boolean => tls.at(key).text !== "" || tls.at(key).size > 0;
  if (mode === "ISTIO_MUTUAL") {
    for (const key of CERTIFICATE_FIELDS)
      if (isSet(key))
        fail(tls.at(key), `ISTIO_MUTUAL uses the mesh's own certificates: \`${key}\` cannot be set`);
    return;
  }
  if (mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH") {
    const unused = [...CERTIFICATE_FIELDS, "caCrl"].filter(isSet);
    if (unused.length > 0)
      tls.warning(
        "BW1311_UNUSED_CERTIFICATE",
        `${mode} uses no certificates: \`${unused.join("`, `")}\` does nothing`,
        "remove it, or choose another mode",
      );
  }
  checkOneSource(tls, isSet);
  const terminates = mode === "SIMPLE" || mode === "MUTUAL" || mode === "OPTIONAL_MUTUAL";
  if (terminates && (isSet("credentialName") || isSet("credentialNames"))) return;
  if (terminates) checkCertificateFiles(tls, mode);
  if (!isSet("caCrl")) return;
  if (isSet("credentialName"))
    fail(tls.at("caCrl"), "`caCrl` cannot stand beside `credentialName`: put the CRL into the Secret");
  if (mode === "SIMPLE")
    fail(tls.at("caCrl"), "`caCrl` does nothing in mode SIMPLE, which asks clients for no certificate");
}

const CERTIFICATE_FIELDS: readonly string[] = [
  "serverCertificate",
  "privateKey",
  "caCertificates",
  "tlsCertificates",
  "credentialName",
  "credentialNames",
];

/** What the schema forbids by presence, whatever the values. */
function checkCredentialFields(tls: Field): void {
  const names = tls.at("credentialNames");
  for (const other of ["tlsCertificates", "credentialName"]) {
    if (names.present && tls.at(other).present)
      fail(names, `\`credentialNames\` cannot stand beside \`${other}\``);
  }
}

function checkOneSource(tls: Field, isSet: (key: string) => boolean): void {
  const sources = ["credentialName", "credentialNames", "tlsCertificates"].filter(isSet);
  if (isSet("serverCertificate") && isSet("privateKey")) sources.push("serverCertificate");
  if (sources.length > 1)
    fail(tls.at(sources[0] ?? ""), `certificates come from one place, not from \`${sources.join("`, `")}\``);
}

function checkCertificateFiles(tls: Field, mode: string): void {
  if (mode !== "SIMPLE" && tls.at("caCertificates").text === "")
    fail(tls, `${mode} needs \`caCertificates\`, to verify clients by`);
  const listed = tls.at("tlsCertificates").items();
  for (const certificate of listed.length > 0 ? listed : [tls]) {
    for (const key of ["serverCertificate", "privateKey"]) {
      if (certificate.at(key).text === "")
        fail(certificate, `${mode} needs \`${key}\` or \`credentialName\``);
    }
  }
}

function warnCiphers(tls: Field): void {
  const version = tls.at("minProtocolVersion");
  const suites = tls.at("cipherSuites");
  if ((version.text === "TLSV1_0" || version.text === "TLSV1_1") && suites.size === 0) {
    version.warning(
      "BW1312_CIPHERS",
      `${version.text} has no cipher suite in common with the defaults`,
      "use TLSV1_2 or later",
    );
  }
  const seen = new Set<string>();
  for (const suite of suites.items()) {
    const isName = /^[\p{L}\p{N}]/u.test(suite.text);
    if (isName && suite.text !== "ALL" && !CIPHERS.has(suite.text)) {
      suite.warning(
        "BW1312_CIPHERS",
        `${quoted(suite.text)} is no cipher suite that can be set; it is ignored`,
        "suites of TLS 1.3 cannot be chosen",
      );
    } else if (seen.has(suite.text)) suite.warning("BW1312_CIPHERS", `${quoted(suite.text)} stands twice`);
    seen.add(suite.text);
  }
}

function fail(field: Field, message: string): void {
  field.errorAtKey(
    "BW1240_SERVER_TLS",
    message,
    "see https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings",
  );
}
