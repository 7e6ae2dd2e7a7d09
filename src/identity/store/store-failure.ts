import { BulwarkError } from "../../resources/bulwark-error.ts";

/** Why a CA's store could not do what it was asked. Append-only; documented in docs/ca-store.md. */
export type StoreFailureCode =
  | "BW_CA_STORE_SERIAL_TAKEN"
  | "BW_CA_STORE_UNKNOWN_SERIAL"
  | "BW_CA_STORE_CUT_OFF"
  | "BW_CA_STORE_BLOCKED"
  | "BW_CA_STORE_KEY_REVOKED"
  | "BW_CA_STORE_ISSUER_REVOKED"
  | "BW_CA_STORE_FULL"
  | "BW_CA_STORE_READ_ONLY"
  | "BW_CA_STORE_DAMAGED"
  | "BW_CA_STORE_BUSY"
  | "BW_CA_STORE_IO"
  | "BW_CA_STORE_UNAVAILABLE"
  | "BW_CA_STORE_REFUSED"
  | "BW_CA_STORE_ADDRESS"
  | "BW_CA_STORE_CLOSED";

/** What crosses from a store's thread to its caller: an Error would lose its code on the way. */
export interface StoreFailure {
  readonly code: StoreFailureCode;
  readonly message: string;
}

/** @param store the store's {@link CaStore.name}: never an address with a password in it. */
export function storeError(
  code: StoreFailureCode,
  message: string,
  store: string,
  cause?: unknown,
): BulwarkError {
  return new BulwarkError(code, message, {
    detail: { store },
    ...(cause === undefined ? {} : { cause }),
  });
}

export function serialTaken(store: string): BulwarkError {
  return storeError(
    "BW_CA_STORE_SERIAL_TAKEN",
    "a certificate of that issuer and serial is on record",
    store,
  );
}

export function unknownSerial(store: string, serial: string): BulwarkError {
  return storeError(
    "BW_CA_STORE_UNKNOWN_SERIAL",
    `no certificate with serial ${serial.slice(0, 64)} is on record`,
    store,
  );
}

export function cutOff(store: string, spiffeId: string): BulwarkError {
  const message = `${spiffeId} was revoked after its caller had proved to be it: it needs a newer proof`;
  return storeError("BW_CA_STORE_CUT_OFF", message, store);
}

export function blocked(store: string, spiffeId: string): BulwarkError {
  return storeError("BW_CA_STORE_BLOCKED", `${spiffeId} is blocked: nothing is issued for it`, store);
}

export function keyRevoked(store: string): BulwarkError {
  const message = "a certificate of this key was revoked: the key is certified for nobody any more";
  return storeError("BW_CA_STORE_KEY_REVOKED", message, store);
}

export function issuerRevoked(store: string): BulwarkError {
  const message = "the certificate of the key that signed was revoked";
  return storeError("BW_CA_STORE_ISSUER_REVOKED", message, store);
}

export function storeClosed(store: string): BulwarkError {
  return storeError("BW_CA_STORE_CLOSED", "the CA's records are closed", store);
}

export function tooManyWaiting(store: string): BulwarkError {
  return storeError("BW_CA_STORE_BUSY", "too many changes wait for the CA's records; try again", store);
}
