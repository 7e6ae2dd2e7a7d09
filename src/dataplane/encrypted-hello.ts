/**
 * Why an encrypted ClientHello (RFC 9849) does not leave the mesh. A client without ECH that sends its GREASE form looks
 * the same from here: what cannot be told apart is refused.
 */
export const ENCRYPTED_HELLO = "the application's TLS hides the server's real name (encrypted ClientHello)";
