/** The real implementation of the port of git: git as a subprocess. Composition only; each verb lives in its own file. */
import type { Outside } from '../core/outside.ts'
import type { World } from '../host/world.ts'
import { dropCandidates, listCandidates } from './candidate.ts'
import { showPath } from './change.ts'
import { checkoutFiles, cloneForAgent } from './clone.ts'
import { type CommandOptions, createCommand } from './command.ts'
import { diffTrees, listChanged } from './diff.ts'
import type { Git, RepoStores, Sha } from './git.ts'
import { isInHistory, listPaths, readFilesAt, readHistory, readTree } from './history.ts'
import { type IntakeLimits, takeIn } from './intake.ts'
import { describeLarge, largeIn } from './large-file.ts'
import { landCommit, writeCommit } from './landing.ts'
import { mergeTrees } from './merge.ts'
import { refreshMirror, type Seen } from './mirror.ts'
import { bringModules } from './module.ts'
import { marksReader, type Ports } from './outside.ts'
import { bringReference } from './reference.ts'
import { objectFolders } from './store.ts'

export type GitOptions = CommandOptions & { limits?: Partial<IntakeLimits> }

const defaultLimits: IntakeLimits = {
  bundleBytes: 64 * 1024 * 1024,
  changes: 10_000,
  contentBytes: 256 * 1024 * 1024,
}

/** Git 2.38 or newer, found on `options.path`. Holds nothing but what its last looks found: any number may act on the same stores, also from several processes. */
export function createGit(world: World, options: GitOptions): Git {
  const command = createCommand(world, options)
  const seen: Seen = new Map()
  const ports = { world, command, marks: marksReader(command) }
  const limits = { ...defaultLimits, ...options.limits }
  return {
    refresh: (stores, base, target) => refreshMirror(ports, seen, stores, base, target),
    readFile: async (stores, commit, path) => (await readFilesAt(command, stores, commit, [path])).get(path) ?? null,
    readFiles: (stores, commit, paths) => readFilesAt(command, stores, commit, paths),
    listFiles: (stores, treeish) => listPaths(ports, stores, treeish),
    outside: (stores, treeish) => lookOutside(ports, stores, treeish),
    treeOf: (stores, commit) => readTree(command, stores, commit),
    isAncestor: (stores, ancestor, descendant) => isInHistory(command, stores, ancestor, descendant),
    clone: (stores, commit, dir, objectsInside) => cloneForAgent(ports, stores, commit, dir, objectsInside),
    objectFolders,
    checkout: (stores, treeish, dir) => checkoutFiles(ports, stores, treeish, dir),
    intake: (stores, bundle, base, name, secrets) => takeIn(ports, limits, stores, bundle, base, name, secrets),
    listCandidates: (stores) => listCandidates(command, stores),
    dropCandidates: (stores, names) => dropCandidates(command, stores, names),
    fetchRef: (stores, ref, base) => bringReference(command, stores, ref, base),
    mergeTree: (stores, ours, theirs) => mergeTrees(command, stores, ours, theirs),
    changedPaths: (stores, from, to) => listChanged(command, stores, from, to),
    diff: (stores, from, to) => diffTrees(command, stores, from, to),
    commitTree: (stores, commit) => writeCommit(command, stores, commit),
    land: (stores, target, expected, commit) => landCommit(command, stores, target, expected, commit),
    history: (stores, target, since) => readHistory(command, stores, target, since),
  }
}

async function lookOutside(ports: Ports, stores: RepoStores, treeish: Sha): Promise<Outside> {
  const modules = await bringModules(ports, stores, treeish)
  const large = describeLarge(await largeIn(ports, stores, treeish))
  return { modules: modules.map(({ path, objects }) => ({ path: showPath(path), there: objects !== null })), large }
}
