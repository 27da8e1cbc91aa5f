/** Reading what is recorded: files, trees and history, always by object id or full ref name. Nothing here writes. */
import { isRefusal } from '../core/refusal.ts'
import { Fault } from '../host/fault.ts'
import { showPath } from './change.ts'
import type { Command } from './command.ts'
import type { RepoStores, Sha } from './git.ts'
import { listModuleFiles } from './module.ts'
import type { Ports } from './outside.ts'
import { openSource, readBranch } from './source.ts'
import { quarantinePlace } from './store.ts'

/** Those of `paths` that are regular files of a commit, as text. Links and folders are none: what they lead to is another file. */
export async function readFilesAt(
  command: Command,
  stores: RepoStores,
  commit: Sha,
  paths: readonly string[],
): Promise<Map<string, string>> {
  if (paths.length === 0) return new Map()
  const place = quarantinePlace(stores)
  const listing = await command.answer({ ...place, args: ['ls-tree', '-z', '--full-tree', commit, '--', ...paths] })
  const found = [...listing.stdout.toString('utf8').matchAll(/(?:^|\0)100(?:644|755) blob ([0-9a-f]+)\t([^\0]+)/g)]
  if (found.length === 0) return new Map()
  const stdin = found.map(([, id]) => `${id}\n`).join('')
  const { stdout } = await command.answer({ ...place, args: ['cat-file', '--batch'], stdin })
  const texts = new Map<string, string>()
  let at = 0
  for (const [, , path] of found) {
    const start = stdout.indexOf('\n', at) + 1
    const length = Number(stdout.toString('latin1', at, start).trim().split(' ')[2])
    texts.set(path!, stdout.toString('utf8', start, start + length))
    at = start + length + 1 // each object is followed by a newline (git-cat-file, BATCH OUTPUT)
  }
  return texts
}

/** All paths of a tree: files, links and submodules, and the files of those that are there. */
export async function listPaths(ports: Ports, stores: RepoStores, treeish: Sha): Promise<string[]> {
  const args = ['ls-tree', '-r', '-z', '--name-only', '--full-tree', treeish]
  const { stdout } = await ports.command.answer({ ...quarantinePlace(stores), args })
  const own = stdout.toString('latin1').split('\0').slice(0, -1)
  return [...own, ...(await listModuleFiles(ports, stores, treeish))].map(showPath)
}

/** The tree of a commit. */
export async function readTree(command: Command, stores: RepoStores, commit: Sha): Promise<Sha> {
  return await command.text({ ...quarantinePlace(stores), args: ['rev-parse', '--verify', `${commit}^{tree}`] })
}

/** Is `ancestor` in the history of `descendant` (or the same)? */
export async function isInHistory(
  command: Command,
  stores: RepoStores,
  ancestor: Sha,
  descendant: Sha,
): Promise<boolean> {
  const args = ['merge-base', '--is-ancestor', ancestor, descendant]
  return (await command.answer({ ...quarantinePlace(stores), args, accept: [0, 1] })).code === 0
}

export type Landed = { commit: Sha; tree: Sha; parents: Sha[]; message: string }

/**
 * The whole history of the target after `since`, newest first, read in the user's own repository: what is really there, not what we
 * mirrored. Empty when the target does not exist. Throws Fault `git-no-repository` when the repository cannot be opened.
 */
export async function readHistory(
  command: Command,
  stores: RepoStores,
  target: string,
  since: Sha | null,
): Promise<Landed[]> {
  const source = await openSource(command, stores.source)
  if (isRefusal(source))
    throw new Fault('git-no-repository', source.why, source.hint === undefined ? {} : { hint: source.hint })
  const tip = await readBranch(command, source.gitDir, target)
  if (tip === null) return []
  const args = ['rev-list', '--topo-order', '--no-commit-header', '--format=%H%x00%T%x00%P%x00%B%x00', tip]
  const range = since === null ? [] : [`^${since}`]
  const { stdout } = await command.answer({ gitDir: source.gitDir, args: [...args, ...range] })
  const fields = stdout.toString('utf8').split('\0')
  const landed: Landed[] = []
  for (let at = 0; at + 4 < fields.length + 1 && fields[at]!.trim() !== ''; at += 4) {
    const [commit, tree, parents, message] = fields.slice(at, at + 4) as [string, string, string, string]
    landed.push({ commit: commit.trim(), tree, parents: parents.split(' ').filter((id) => id !== ''), message })
  }
  return landed
}
