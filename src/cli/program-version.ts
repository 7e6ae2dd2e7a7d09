/** As `bulwark --version` prints it. */
export const PROGRAM_VERSION = "0.1.0";
