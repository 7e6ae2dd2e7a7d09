/**
 * Versions as images and nodes carry them: `1.27.3`, `v1.31.2+k3s1`, `1.27.3-distroless`, `1.28.0-rc.1`, `1.27`.
 *
 * Not semantic versioning's own order: there `1.30.3-gke.100` is older than `1.30.3`, while whoever builds it starts from 1.30.3.
 * What follows a version counts as a build of it, save for the words of pre-releases.
 */
export interface Version {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
  /** Absent where the tag floats (`1.27`): it is whichever patch was newest when the node pulled it. */
  readonly patch?: number;
  readonly isPreRelease: boolean;
}

const VERSION = /^v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(?:[-+._](.*))?$/;
const PRE_RELEASE = /^(alpha|beta|rc|pre|preview|dev|snapshot)\b|^(alpha|beta|rc)\d/i;

/** @returns nothing for what is no version: `latest`, a branch, a commit */
export function parseVersion(text: string): Version | undefined {
  const [, major, minor, patch, rest = ""] = VERSION.exec(text) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return {
    text,
    major: Number(major),
    minor: Number(minor),
    ...(patch === undefined ? {} : { patch: Number(patch) }),
    isPreRelease: PRE_RELEASE.test(rest),
  };
}

/** By major, minor and patch alone; a floating version counts as its first patch. */
export function compareVersions(a: Version, b: Version): number {
  return a.major - b.major || a.minor - b.minor || (a.patch ?? 0) - (b.patch ?? 0);
}

/** `1.27.3` of `v1.27.3-distroless`. */
export function releaseOf({ major, minor, patch }: Version): string {
  return patch === undefined ? `${major}.${minor}` : `${major}.${minor}.${patch}`;
}
