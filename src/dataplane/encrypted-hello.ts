/**
 * Why an encrypted ClientHello (RFC 9849) does not leave the mesh. A client without ECH that sends its GREASE form looks
 * the same from here: what cannot be told apart is refused.
 */
export const ENCRYPTED_HELLO =
  "the application's TLS hides the server's real name, or seems to: an encrypted ClientHello, or its GREASE form, which Chrome always sends. Switch both off in the client (Chrome: the policy EncryptedClientHelloEnabled), or have its sidecar originate TLS (a DestinationRule) and call it over http://";
