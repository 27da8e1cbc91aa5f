/**
 * The port of git. Everything is addressed by object id in bare stores of our own; no command of ours ever runs in a tree that an agent can write.
 *
 *     user's repository ──mirror──▶ mirror.git (base history only) ◀──alternates── quarantine.git ◀──bundle── attempt
 *             ▲                                                                        │
 *             └──────────────── land: objects, then compare-and-set of one ref ────────┘
 *
 * Broken git or disk is a Fault (code `git-…`); an expected "no" (conflict, unclean bundle, moved branch) is returned.
 */
import type { Outside } from '../core/outside.ts'
import type { Refusal } from '../core/refusal.ts'

export type Sha = string

/** One registered repository and our stores of it. */
export type RepoStores = { source: string; mirror: string; quarantine: string }

export type FileChange = { path: string; status: 'added' | 'modified' | 'deleted' | 'type-changed'; mode: string }

export type Candidate = { commit: Sha; tree: Sha; base: Sha; changes: FileChange[]; added: number; removed: number }

export type LandingCommit = {
  tree: Sha
  parent: Sha
  message: string
  /** Epoch milliseconds, for author and committer date. */
  at: number
}

export type Git = {
  /**
   * Makes the stores (idempotent) and brings base and target up to date; answers their tips. `target` is null until it exists, and is
   * answered as it is when the base has moved past it. Refuses `not-a-repository`, `shallow`, `no-base`, `partial`.
   */
  refresh(stores: RepoStores, base: string, target: string): Promise<{ base: Sha; target: Sha | null } | Refusal>
  /** A file of a commit as text, or null when no regular file is there (a link is not followed). */
  readFile(stores: RepoStores, commit: Sha, path: string): Promise<string | null>
  /** The same of several, in two commands however many: those that are there, by path. */
  readFiles(stores: RepoStores, commit: Sha, paths: readonly string[]): Promise<Map<string, string>>
  /** All paths of a tree, with those of submodules that are there. Here and everywhere a path that is not UTF-8 is quoted as git quotes it. */
  listFiles(stores: RepoStores, treeish: Sha): Promise<string[]>
  /** What a tree names and does not hold, and whether the user's clone has it; what it has is in `clone` (submodules) and `checkout` (all of it). */
  outside(stores: RepoStores, treeish: Sha): Promise<Outside>
  treeOf(stores: RepoStores, commit: Sha): Promise<Sha>
  isAncestor(stores: RepoStores, ancestor: Sha, descendant: Sha): Promise<boolean>
  /**
   * A private clone for an agent in `dir` (must not exist), HEAD on branch `task` at `commit`; objects are borrowed from `objectFolders`,
   * looked up at `${objectsInside}/0`, `/1`…, or where they are when null (no mounts). Nothing of it may be used by git on the host afterwards.
   */
  clone(stores: RepoStores, commit: Sha, dir: string, objectsInside: string | null): Promise<void>
  /** The host folders an agent's clone borrows objects from, to be mounted read-only in this order. */
  objectFolders(stores: RepoStores): string[]
  /** Files of a tree in `dir` (must not exist), without .git, byte for byte: for gates, reviewers and reproductions. */
  checkout(stores: RepoStores, treeish: Sha, dir: string): Promise<void>
  /**
   * Takes in what an attempt left in `bundle` (O_NOFOLLOW, size cap), strictly checked, tree policy applied to what differs from `base`.
   * Refuses `no-bundle`, `too-large`, `unclean`, `policy`. An empty diff is refused as `no-change`. `name` must be fit for a ref. `secrets` may stand in
   * nothing that it adds.
   */
  intake(
    stores: RepoStores,
    bundle: string,
    base: Sha,
    name: string,
    secrets?: readonly string[],
  ): Promise<Candidate | Refusal>
  /** The names under which candidates are kept in quarantine, `TASK/TOKEN`. */
  listCandidates(stores: RepoStores): Promise<string[]>
  /** Forgets these names; nothing of what they stood for is deleted. */
  dropCandidates(stores: RepoStores, names: readonly string[]): Promise<void>
  /** Brings a ref or commit of the user's repository into quarantine, to be judged: what it changes since it left `base`. Refuses `no-such-ref`, `no-change`. */
  fetchRef(stores: RepoStores, ref: string, base: Sha): Promise<Candidate | Refusal>
  /** The tree of merging `theirs` into `ours`, without any checkout. Refuses `conflict` naming the files. */
  mergeTree(stores: RepoStores, ours: Sha, theirs: Sha): Promise<{ tree: Sha } | Refusal>
  /** Every path that differs between two trees or commits; what was renamed counts with both names. */
  changedPaths(stores: RepoStores, from: Sha, to: Sha): Promise<string[]>
  /** The whole diff as reviewers see it: no attributes, no textconv, no renames; content that is not text is named, with its size, not shown. */
  diff(stores: RepoStores, from: Sha, to: Sha): Promise<string>
  /** Writes the commit object in quarantine, the same id for the same input; no ref of the user moves. */
  commitTree(stores: RepoStores, commit: LandingCommit): Promise<Sha>
  /** Brings the objects into the user's repository and moves `target` from `expected` (null: create) to `commit`. Refuses `moved`, `checked-out`, `alias`. */
  land(stores: RepoStores, target: string, expected: Sha | null, commit: Sha): Promise<{ landed: true } | Refusal>
  /** History of the target after `since`, newest first: also what came in by a merge, because a person may merge what landed and go on. */
  history(
    stores: RepoStores,
    target: string,
    since: Sha | null,
  ): Promise<{ commit: Sha; tree: Sha; parents: Sha[]; message: string }[]>
}
