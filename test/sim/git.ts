/**
 * git, modelled: content-addressed trees and commits in memory, branches of the user's repositories, and the port's promises about them. Trees in a
 * folder are real files. What the port says of odd modes, links, shallow clones and hostile packs is not modelled: git's own tests hold that.
 *
 * It is held to the real one by conformance.ts.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { nothingOutside } from '../../src/core/outside.ts'
import { isRefusal, refuse, type Refusal } from '../../src/core/refusal.ts'
import type { Candidate, FileChange, Git, LandingCommit, RepoStores, Sha } from '../../src/git/git.ts'

export type Files = ReadonlyMap<string, string>
type Commit = { tree: Sha; parents: Sha[]; message: string; at: number }
type Repository = { branches: Map<string, Sha>; checkedOut: string | null }

export type GitModel = {
  git: Git
  /** Makes a repository at `source` with one commit on `main`. */
  init(source: string, files: Record<string, string>, at: number): Sha
  /** A person commits on a branch, changing these files. */
  commit(source: string, branch: string, files: Record<string, string>, message: string, at: number): Sha
  /** A person merges a branch into another; false where the two conflict. */
  merge(source: string, from: string, into: string, at: number): boolean
  /** A person points a branch somewhere, or (null) removes it. */
  point(source: string, branch: string, commit: Sha | null): void
  /** A person has a branch in a work tree. */
  checkOut(source: string, branch: string | null): void
  tip(source: string, branch: string): Sha | null
  files(treeish: Sha): Files
  treeOf(treeish: Sha): Sha
  treeOfFolder(folder: string): Sha
  /** What the hand-off does inside: commits what is in the folder and bundles it; null where nothing is beyond `base`. */
  handOff(work: string, out: string, base: Sha): Sha | null
  history(from: Sha): { commit: Sha; tree: Sha; parents: Sha[]; message: string }[]
}

const idOf = (what: unknown): Sha => createHash('sha1').update(JSON.stringify(what)).digest('hex')
const linesOf = (text: string | undefined): string[] =>
  text === undefined || text === '' ? [] : text.replace(/\n$/, '').split('\n')
/** Where a private clone remembers what it was made of. */
const marker = join('.git', 'tri-agent-sim')

function objectStore() {
  const trees = new Map<Sha, Files>()
  const commits = new Map<Sha, Commit>()
  const keepTree = (files: Files): Sha => {
    const sorted = [...files].toSorted(([a], [b]) => (a < b ? -1 : 1))
    const id = idOf(['tree', sorted])
    trees.set(id, new Map(sorted))
    return id
  }
  const keepCommit = (commit: Commit): Sha => {
    const id = idOf(['commit', commit])
    commits.set(id, commit)
    return id
  }
  const commitAt = (id: Sha): Commit => {
    const found = commits.get(id)
    if (!found) throw new Error(`no commit ${id}`)
    return found
  }
  const treeOf = (treeish: Sha): Sha => commits.get(treeish)?.tree ?? treeish
  const filesOf = (treeish: Sha): Files => {
    const found = trees.get(treeOf(treeish))
    if (!found) throw new Error(`no tree ${treeish}`)
    return found
  }
  const ancestors = (from: Sha): Set<Sha> => {
    const seen = new Set<Sha>()
    const queue = [from]
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      if (seen.has(next)) continue
      seen.add(next)
      queue.push(...commitAt(next).parents)
    }
    return seen
  }
  /** The common ancestor that no other common one descends from. */
  const mergeBase = (ours: Sha, theirs: Sha): Sha | null => {
    const mine = ancestors(ours)
    const common = [...ancestors(theirs)].filter((id) => mine.has(id))
    return common.find((id) => !common.some((other) => other !== id && ancestors(other).has(id))) ?? null
  }
  return { keepTree, keepCommit, commitAt, treeOf, filesOf, ancestors, mergeBase }
}

type Store = ReturnType<typeof objectStore>

const pathsOf = (a: Files, b: Files): string[] =>
  [...new Set([...a.keys(), ...b.keys()])].filter((path) => a.get(path) !== b.get(path)).toSorted()

function changesBetween(before: Files, after: Files): { changes: FileChange[]; added: number; removed: number } {
  let [added, removed] = [0, 0]
  const changes = pathsOf(before, after).map((path): FileChange => {
    const [old, now] = [linesOf(before.get(path)), linesOf(after.get(path))]
    added += now.filter((line) => !old.includes(line)).length
    removed += old.filter((line) => !now.includes(line)).length
    const status = before.has(path) ? (after.has(path) ? 'modified' : 'deleted') : 'added'
    return { path, status, mode: status === 'deleted' ? '000000' : '100644' }
  })
  return { changes, added, removed }
}

/** Whole files: who changed what the other did not touch wins, and two who changed the same file differently conflict. */
function mergeFiles(base: Files, ours: Files, theirs: Files): { files: Files } | { conflicts: string[] } {
  const merged = new Map(ours)
  const conflicts: string[] = []
  for (const path of pathsOf(base, theirs)) {
    const [was, mine, other] = [base.get(path), ours.get(path), theirs.get(path)]
    if (mine === other) continue
    if (mine !== was) conflicts.push(path)
    else if (other === undefined) merged.delete(path)
    else merged.set(path, other)
  }
  return conflicts.length > 0 ? { conflicts } : { files: merged }
}

function readFolder(folder: string, below = ''): [string, string][] {
  return fs.readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry): [string, string][] => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (path === '.git') return []
    return entry.isDirectory() ? readFolder(folder, path) : [[path, fs.readFileSync(join(folder, path), 'utf8')]]
  })
}

function writeFolder(folder: string, files: Files): void {
  fs.mkdirSync(folder, { mode: 0o700 })
  for (const [path, text] of files) {
    if (path.includes('/')) fs.mkdirSync(join(folder, dirname(path)), { recursive: true })
    fs.writeFileSync(join(folder, path), text)
  }
}

/** What set-up made and git would be told to leave alone. */
function isExcluded(folder: string): (path: string) => boolean {
  const file = join(folder, '.git', 'info', 'exclude')
  const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').filter(Boolean) : []
  return (path) => lines.some((line) => `/${path}` === line || `/${path}`.startsWith(`${line}/`))
}

/** A git for any number of repositories. */
export function modelGit(landed: (commit: Sha, target: string, message: string) => void = () => {}): GitModel {
  const store = objectStore()
  const repositories = new Map<string, Repository>()
  const at = (source: string): Repository => {
    const found = repositories.get(source)
    if (!found) throw new Error(`no repository at ${source}`)
    return found
  }
  const history = (from: Sha) =>
    [...store.ancestors(from)].map((commit) => {
      const { tree, parents, message } = store.commitAt(commit)
      return { commit, tree, parents, message }
    })
  return {
    git: portOf(store, repositories, landed),
    history,
    files: store.filesOf,
    treeOf: store.treeOf,
    tip: (source, branch) => at(source).branches.get(branch) ?? null,
    treeOfFolder: (folder) => store.keepTree(new Map(readFolder(folder).filter(([path]) => !path.startsWith('deps/')))),
    init(source, files, time) {
      const tree = store.keepTree(new Map(Object.entries(files)))
      const first = store.keepCommit({ tree, parents: [], message: 'Start', at: time })
      repositories.set(source, { branches: new Map([['main', first]]), checkedOut: 'main' })
      return first
    },
    commit(source, branch, files, message, time) {
      const { branches } = at(source)
      const parent = branches.get(branch)!
      const tree = store.keepTree(new Map([...store.filesOf(parent), ...Object.entries(files)]))
      const made = store.keepCommit({ tree, parents: [parent], message, at: time })
      branches.set(branch, made)
      return made
    },
    merge(source, from, into, time) {
      const { branches } = at(source)
      const [theirs, ours] = [branches.get(from), branches.get(into)]
      if (theirs === undefined || ours === undefined || store.ancestors(ours).has(theirs)) return true
      const base = store.mergeBase(ours, theirs)!
      const merged = mergeFiles(store.filesOf(base), store.filesOf(ours), store.filesOf(theirs))
      if ('conflicts' in merged) return false
      const tree = store.keepTree(merged.files)
      branches.set(into, store.keepCommit({ tree, parents: [ours, theirs], message: `Merge ${from}`, at: time }))
      return true
    },
    point(source, branch, commit) {
      if (commit === null) at(source).branches.delete(branch)
      else at(source).branches.set(branch, commit)
    },
    checkOut: (source, branch) => void (at(source).checkedOut = branch),
    handOff(work, out, base) {
      const head = (JSON.parse(fs.readFileSync(join(work, marker), 'utf8')) as { head: Sha }).head
      const excluded = isExcluded(work)
      const tree = store.keepTree(new Map(readFolder(work).filter(([path]) => !excluded(path))))
      const made =
        tree === store.treeOf(head) ? head : store.keepCommit({ tree, parents: [head], message: 'Task', at: 0 })
      if (made === base) return null
      fs.writeFileSync(join(out, 'task.bundle'), JSON.stringify({ head: made }))
      return made
    },
  }
}

function portOf(
  store: Store,
  repositories: Map<string, Repository>,
  landed: Parameters<typeof modelGit>[0] = () => {},
): Git {
  const candidates = new Map<string, Set<string>>()
  const { commitAt, filesOf, treeOf, ancestors, mergeBase, keepCommit, keepTree } = store
  const candidateOf = (commit: Sha, base: Sha): Candidate | Refusal => {
    const between = changesBetween(filesOf(base), filesOf(commit))
    if (between.changes.length === 0) return refuse('no-change', 'the files are the same as before')
    return { commit, tree: treeOf(commit), base, ...between }
  }
  return {
    async refresh({ source }, base, target) {
      const found = repositories.get(source)
      if (!found) return refuse('not-a-repository', `${source} is no repository`)
      const tip = found.branches.get(base)
      if (tip === undefined) return refuse('no-base', `there is no branch ${base}`)
      return { base: tip, target: found.branches.get(target) ?? null }
    },
    readFile: async (_stores, commit, path) => filesOf(commit).get(path) ?? null,
    readFiles: async (_stores, commit, paths) => new Map([...filesOf(commit)].filter(([path]) => paths.includes(path))),
    listFiles: async (_stores, treeish) => [...filesOf(treeish).keys()],
    treeOf: async (_stores, commit) => treeOf(commit),
    isAncestor: async (_stores, ancestor, descendant) => ancestors(descendant).has(ancestor),
    async clone(_stores, commit, dir) {
      writeFolder(dir, filesOf(commit))
      fs.mkdirSync(join(dir, '.git'))
      fs.writeFileSync(join(dir, marker), JSON.stringify({ head: commit }))
    },
    objectFolders: ({ mirror, quarantine }) => [join(mirror, 'objects'), join(quarantine, 'objects')],
    checkout: async (_stores, treeish, dir) => writeFolder(dir, filesOf(treeish)),
    async intake({ source }, bundle, base, name) {
      if (!fs.existsSync(bundle)) return refuse('no-bundle', 'nothing was handed over')
      const text = fs.readFileSync(bundle, 'utf8')
      if (!text.startsWith('{')) return refuse('unclean', 'what was handed over is no bundle')
      const { head } = JSON.parse(text) as { head: Sha }
      if (!ancestors(head).has(base))
        return refuse('unclean', 'the work does not descend from the commit the task started on')
      const candidate = candidateOf(head, base)
      if (isRefusal(candidate)) return candidate
      if (!candidates.has(source)) candidates.set(source, new Set())
      candidates.get(source)!.add(name)
      return candidate
    },
    listCandidates: async ({ source }) => [...(candidates.get(source) ?? [])],
    async dropCandidates({ source }, names) {
      for (const name of names) candidates.get(source)?.delete(name)
    },
    outside: async () => nothingOutside,
    async fetchRef({ source }, ref, base) {
      const tip = repositories.get(source)?.branches.get(ref)
      if (tip === undefined) return refuse('no-such-ref', `there is no ${ref}`)
      return candidateOf(tip, mergeBase(tip, base) ?? base)
    },
    async mergeTree(_stores, ours, theirs) {
      const base = mergeBase(ours, theirs)
      const merged = mergeFiles(base === null ? new Map() : filesOf(base), filesOf(ours), filesOf(theirs))
      if ('conflicts' in merged) return refuse('conflict', `conflicts in ${merged.conflicts.join(', ')}`)
      return { tree: keepTree(merged.files) }
    },
    changedPaths: async (_stores, from, to) => pathsOf(filesOf(from), filesOf(to)),
    async diff(_stores, from, to) {
      const [before, after] = [filesOf(from), filesOf(to)]
      return pathsOf(before, after)
        .map((path) => {
          const old = linesOf(before.get(path)).map((line) => `-${line}\n`)
          const now = linesOf(after.get(path)).map((line) => `+${line}\n`)
          return `diff --git a/${path} b/${path}\n${[...old, ...now].join('')}`
        })
        .join('')
    },
    commitTree: async (_stores, { tree, parent, message, at }: LandingCommit) =>
      keepCommit({ tree, parents: [parent], message, at: Math.floor(at / 1000) }),
    async land({ source }: RepoStores, target, expected, commit) {
      const found = repositories.get(source)
      if (!found) return refuse('not-a-repository', `${source} is no repository`)
      const tip = found.branches.get(target) ?? null
      if (tip !== expected)
        return refuse('moved', `${target} is at ${tip ?? 'no commit'}, not at ${expected ?? 'no commit'}`)
      if (found.checkedOut === target) return refuse('checked-out', `${target} is checked out in ${source}`)
      if (expected !== null && !ancestors(commit).has(expected))
        throw new Error(`${commit} does not continue ${expected}`)
      found.branches.set(target, commit)
      landed(commit, target, commitAt(commit).message)
      return { landed: true }
    },
    async history({ source }, target, since) {
      const tip = repositories.get(source)?.branches.get(target)
      if (tip === undefined) return []
      const left = since === null ? new Set<Sha>() : ancestors(since)
      return [...ancestors(tip)]
        .filter((commit) => !left.has(commit))
        .map((commit) => ({ commit, ...commitAt(commit) }))
        .map(({ commit, tree, parents, message }) => ({ commit, tree, parents, message }))
    },
  }
}
