/**
 * Submodules: the files of the commits that a tree names, taken from where the user's own clone keeps them, and laid into checkouts.
 *
 *     .git/modules/NAME/objects ──that one commit's files──▶ modules.git (ours) ──▶ PATH in a checkout
 *
 * The URL of a submodule is never read, its configuration neither: only objects by id. Its store is nobody's alternate, so that nothing of it is ever
 * part of a bundle or a landing. What is not in the user's clone stays an empty folder.
 */
import { readdir, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isRefusal } from '../core/refusal.ts'
import { isFault } from '../host/fault.ts'
import { showPath } from './change.ts'
import type { Command } from './command.ts'
import type { RepoStores, Sha } from './git.ts'
import type { Link, Ports } from './outside.ts'
import { meansDotGit } from './policy.ts'
import { openSource } from './source.ts'
import { ensureStore, isStore, modulesOf, quarantinePlace, type Place } from './store.ts'

/** Where the submodules of a repository may rest: git directories that have `modules/NAME`, and its work tree, for those that were never absorbed. */
export type Home = { gitDirs: readonly string[]; top: string | null }

export type Module = {
  path: string
  commit: Sha
  /** The folder that has its objects, or null: it is not there. */
  objects: string | null
}

/** Deeper nests are not followed: a repository that names itself would never end. */
const deepest = 5
const mostModules = 1000

/** Every submodule of a tree, those of submodules after their own. `kept`: a store of ours that is asked first. */
export async function findModules(
  ports: Pick<Ports, 'command' | 'marks'>,
  place: Place,
  home: Home,
  treeish: Sha,
  kept: string | null,
): Promise<Module[]> {
  const { command, marks } = ports
  const found: Module[] = []
  const look = async (at: Place, within: Home, tree: Sha, prefix: string, depth: number): Promise<void> => {
    const { links, gitmodules } = await marks(at, tree)
    if (links.length === 0) return
    const names = gitmodules === null ? new Map<string, string>() : await readNames(command, at, gitmodules)
    for (const { path, commit } of links) {
      if (found.length >= mostModules) return
      const there = isPath(path) && (await locate(command, at, within, { path, commit }, names.get(path) ?? null, kept))
      found.push({ path: `${prefix}${path}`, commit, objects: there ? there.objects : null })
      if (there && depth < deepest)
        await look({ ...at, borrow: [there.objects] }, there.home, commit, `${prefix}${path}/`, depth + 1)
    }
  }
  await look(place, home, treeish, '', 1)
  return found
}

/** What git takes for a name that stays in `modules` (git's submodule-config.c, check_submodule_name). */
const isName = (name: string): boolean => name !== '' && !name.split(/[/\\]/).includes('..')

/** Path to name, as the tree's own file says; a file that git cannot read says nothing. */
async function readNames(command: Command, place: Place, gitmodules: Sha): Promise<Map<string, string>> {
  const args = ['config', `--blob=${gitmodules}`, '-z', '--get-regexp', '^submodule\\..*\\.path$']
  const { code, stdout } = await command.answer({ ...place, args, accept: [0, 1, 3, 128] })
  const entries = code === 0 ? stdout.toString('latin1').split('\0').slice(0, -1) : []
  return new Map(
    entries.flatMap((entry): [string, string][] => {
      const [key = '', path] = entry.split('\n', 2)
      const name = key.slice('submodule.'.length, -'.path'.length)
      return path !== undefined && isName(name) ? [[path, name]] : []
    }),
  )
}

async function locate(
  command: Command,
  place: Place,
  { gitDirs, top }: Home,
  { path, commit }: Link,
  name: string | null,
  kept: string | null,
): Promise<{ objects: string; home: Home } | null> {
  const own = name === null ? [] : gitDirs.map((gitDir) => join(gitDir, 'modules', utf8(name)))
  const old = top === null ? [] : [join(top, utf8(path), '.git')]
  const home = { gitDirs: [...own, ...old], top: top === null ? null : join(top, utf8(path)) }
  const folders = [...(kept === null ? [] : [kept]), ...home.gitDirs].map((gitDir) => join(gitDir, 'objects'))
  for (const objects of folders) {
    if (!(await isStore(objects))) continue
    const args = ['cat-file', '-e', `${commit}^{tree}`]
    const { code } = await command.answer({ ...place, borrow: [objects], args, accept: [0, 1, 128] })
    if (code === 0) return { objects, home }
  }
  return null
}

/** A tree made by no git can name anything: a path that leads elsewhere, or is no text, is no submodule of ours. */
const isPath = (path: string): boolean =>
  showPath(path) === utf8(path) && path.split('/').every((name) => name !== '..' && name !== '.' && !meansDotGit(name))

const utf8 = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('utf8')

/** Where a user's clone may keep its submodules: linked worktrees have their own. */
export async function homeOf(gitDir: string, top: string | null): Promise<Home> {
  const worktrees = join(gitDir, 'worktrees')
  const names = await readdir(worktrees).catch(() => []) // most have none
  return { gitDirs: [gitDir, ...names.map((name) => join(worktrees, name))], top }
}

/** Every submodule of a tree, with what was not yet in our store brought into it. Those that are nowhere have no `objects`. */
export async function bringModules(ports: Ports, stores: RepoStores, treeish: Sha): Promise<Module[]> {
  const { command, marks } = ports
  const place = quarantinePlace(stores)
  if ((await marks(place, treeish)).links.length === 0) return []
  const source = await openSource(command, stores.source)
  const home = isRefusal(source) ? { gitDirs: [], top: null } : await homeOf(source.gitDir, stores.source)
  const kept = modulesOf(stores)
  await ensureStore(command, kept, treeish.length === 64 ? 'sha256' : 'sha1')
  const modules = await findModules(ports, place, home, treeish, kept)
  const own = join(kept, 'objects')
  const brought: Module[] = []
  for (const module of modules) {
    const { objects, commit } = module
    const isThere = objects !== null && (objects === own || (await bring(command, kept, objects, commit)))
    brought.push({ ...module, objects: isThere ? own : null })
  }
  return brought
}

/** Copies one commit with its files, without its history. False when the clone has only a part of it. */
async function bring(command: Command, kept: string, objects: string, commit: Sha): Promise<boolean> {
  const from = { gitDir: kept, borrow: [objects] }
  try {
    const ids = await command.text({ ...from, args: ['rev-list', '--objects', '--no-walk', commit] })
    await command.pipe(
      { ...from, args: ['pack-objects', '--quiet', '--stdout', '--window=0'], stdin: `${ids}\n` },
      { gitDir: kept, args: ['index-pack', '--stdin'], durable: true },
    )
    return true
  } catch (fault) {
    if (isFault(fault, 'git-failed')) return false
    throw fault
  }
}

/** Fills the folders of the submodules in a checkout of `treeish` that nobody but us has touched. */
export async function layModules(ports: Ports, stores: RepoStores, treeish: Sha, dir: string): Promise<void> {
  for (const { path, commit, objects } of await bringModules(ports, stores, treeish))
    if (objects !== null) await lay(ports, modulesOf(stores), commit, dir, utf8(path))
}

async function lay({ world, command }: Ports, kept: string, commit: Sha, dir: string, path: string): Promise<void> {
  const target = join(dir, path)
  // Where names fall together (case, other encodings) another entry of the tree may stand there, or a link in its way.
  const isOurs = (await realpath(target).catch(() => null)) === join(await realpath(dir), path)
  if (!isOurs || (await readdir(target).catch(() => [''])).length > 0) return
  const index = join(kept, `index-${world.secret(8)}`)
  try {
    const args = [`--work-tree=${target}`, 'read-tree', '--reset', '-u', commit]
    await command.answer({ gitDir: kept, env: { GIT_INDEX_FILE: index }, args })
  } finally {
    await rm(index, { force: true })
  }
}

/** All files of the submodules of a tree that are there, paths as they lie in a checkout. */
export async function listModuleFiles(ports: Ports, stores: RepoStores, treeish: Sha): Promise<string[]> {
  const found: string[] = []
  for (const { path, commit, objects } of await bringModules(ports, stores, treeish)) {
    if (objects === null) continue
    const args = ['ls-tree', '-r', '-z', '--name-only', '--full-tree', commit]
    const { stdout } = await ports.command.answer({ gitDir: modulesOf(stores), args })
    found.push(
      ...stdout
        .toString('latin1')
        .split('\0')
        .slice(0, -1)
        .map((name) => `${path}/${name}`),
    )
  }
  return found
}
