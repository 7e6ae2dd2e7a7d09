/**
 * Where anybody on the machine may make files: a socket there would lead from pod to pod, or to the machine, past every network. Each pod has its own of
 * these.
 */
export const PRIVATE_FOLDERS = ["/tmp", "/var/tmp", "/dev/shm"] as const;
