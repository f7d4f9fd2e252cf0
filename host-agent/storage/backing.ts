/** What a tenant takes of what it may take, in bytes of ciphertext. */
export interface Usage {
  usedBytes: number;
  limitBytes: number;
}

/**
 * Where ciphertext lies. Everything above it knows directories only, so that any file system will do; paths are
 * absolute and below the root that the backing was made for. All operations converge.
 */
export interface Backing {
  /** Whether the file system itself refuses what is above a limit. */
  hasLimits: boolean;
  /** Makes the root usable, or throws why it cannot be. */
  prepare(): Promise<void>;
  /** An empty directory, without a limit yet; what was there goes. */
  create(path: string): Promise<void>;
  limit(path: string, limitMiB: number): Promise<void>;
  /** A copy that nothing changes any more. Crash-consistent. */
  snapshot(from: string, to: string): Promise<void>;
  /** A copy that may be written to, with a limit; what was at `to` goes. */
  restore(from: string, to: string, limitMiB: number): Promise<void>;
  drop(path: string): Promise<void>;
  /** Of every tenant's live data. */
  usage(): Promise<ReadonlyMap<string, Usage>>;
  /** The same without asking a program, for many looks: may be a little older, and lack who has just come. */
  glance(): Promise<ReadonlyMap<string, Usage>>;
  /** Directories on all the disks that have to have room, or the same thing is refused to everybody. */
  disks: readonly string[];
  /** Whether what each may hold was not counted any more; it is counted anew from now on. */
  recount(): Promise<boolean>;
  /** What the file system itself still knows of a tenant, besides its directory. */
  traces(tenantId: string): Promise<readonly string[]>;
}
