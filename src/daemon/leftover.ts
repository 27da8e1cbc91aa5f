/**
 * What lies on this machine and belongs to nobody any more: processes of our table without a lease, folders and sockets without an owner, and what has
 * come of age. Looks only; what is done about it is reaper.ts's. A process is known by (boot, pid, start time), a folder by the row or the maker it
 * belongs to, a socket by whether anybody answers; never by name or age alone, except what is kept for a time and no longer.
 */
import { lstat, readdir, readlink, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { OperatorSettings } from '../core/setting.ts'
import type { Git, RepoStores } from '../git/git.ts'
import { bytesOf } from '../host/file-system.ts'
import { turnedLogs } from '../host/log-file.ts'
import { socketParents, temporaryPlace, type Env, type Paths } from '../host/path.ts'
import { isAbandoned, isTemporary } from '../host/temporary.ts'
import { isListening } from '../host/unix-socket.ts'
import { layerManifest } from '../sandbox/layer.ts'
import { layerLink } from '../sandbox/overlay.ts'
import { usedMark } from '../stage/setup.ts'
import type { ProcessRow } from '../store/lease.ts'

export type Leftover = {
  kind:
    | 'process'
    | 'cgroup'
    | 'area'
    | 'clone'
    | 'socket'
    | 'folder'
    | 'layer'
    | 'store'
    | 'transcript'
    | 'log'
    | 'candidate'
  name: string
  why: string
  /** What is removed; null where it is no file. */
  path: string | null
  bytes: number
  /** Nobody knew of it; else it was kept for a time that is over. */
  isUnaccounted: boolean
  row?: ProcessRow
  stores?: RepoStores
  /** Asked once more before it goes: somebody may have taken it since. */
  isStillSo?(): Promise<boolean>
}

export type Lookout = {
  /** Epoch milliseconds. */
  at: number
  env: Env
  paths: Paths
  retention: Pick<OperatorSettings['retention'], 'logsMs' | 'transcriptsMs' | 'layersMs' | 'layerCount'>
  /** Is this attempt somebody's? */
  isOwned(attempt: string): boolean
  /** Does its folder have work that the next daemon takes in? */
  isKept(attempt: string): boolean
  /** Is a folder of the warm pool one of a daemon that lives? */
  isClone(name: string): boolean
  processes: readonly ProcessRow[]
  /** Cgroups of ours whose makers are gone. */
  cgroups: readonly string[]
  git: Pick<Git, 'listCandidates'>
  stores: readonly RepoStores[]
  /** Those of these tasks that have been over for longer than work is kept, and those that nobody knows. */
  longOver(tasks: readonly string[]): Promise<ReadonlySet<string>>
}

/** So old must be what a program may be about to use, before nobody's is what it is. */
const graceMs = 10 * 60_000
/** A layer or store may be in the making, or a layer be copied, for so long; set-up as a whole may take 15 minutes. */
const busyMs = 3_600_000

/** What is without an owner. Cheap: a few folders are listed. */
export async function findUnaccounted(look: Lookout): Promise<Leftover[]> {
  const found = await Promise.all([
    lostProcesses(look),
    lostCgroups(look),
    lostAreas(look),
    lostClones(look),
    lostSockets(look),
    lostFolders(look),
    lostSocketFolders(look),
    unfinishedStores(look),
  ])
  return found.flat()
}

/** What was kept for a time that is over: transcripts, logs that were turned over, and set-up layers by when they were last given to anybody. */
export async function findAged(look: Lookout): Promise<Leftover[]> {
  const found = await Promise.all([agedTranscripts(look), agedLogs(look), agedLayers(look), agedCandidates(look)])
  return found.flat()
}

const lostProcesses = ({ processes, isOwned }: Lookout): Promise<Leftover[]> =>
  Promise.resolve(
    processes
      .filter(({ attempt }) => !isOwned(attempt))
      .map((row) => ({
        kind: 'process',
        name: `${row.attempt} (pid ${row.pid})`,
        why: 'its attempt has no lease',
        path: null,
        bytes: 0,
        isUnaccounted: true,
        row,
      })),
  )

/** What is in one whose maker is gone has nobody left to answer; of a process that is written down, its own row speaks. */
const lostCgroups = ({ cgroups }: Lookout): Promise<Leftover[]> =>
  Promise.resolve(
    cgroups.map((path) => ({
      kind: 'cgroup',
      name: basename(path),
      why: 'the process that made it is gone',
      path,
      bytes: 0,
      isUnaccounted: true,
    })),
  )

async function lostAreas({ paths, isOwned, isKept }: Lookout): Promise<Leftover[]> {
  const names = await namesIn(paths.areas) // before anybody is asked: a folder made since has an owner since
  // on the rung companion, what only looks has its area here, too
  const isLost = (name: string) => !isOwned(name) && !isKept(name) && (!isTemporary(name) || isAbandoned(name))
  const lost = names.filter((name) => name !== 'warm' && isLost(name))
  return lostPaths('area', paths.areas, lost, 'no attempt under way has this folder')
}

async function lostClones({ paths, isClone }: Lookout): Promise<Leftover[]> {
  const folder = join(paths.areas, 'warm')
  const lost = (await namesIn(folder)).filter((name) => !isClone(name))
  return lostPaths('clone', folder, lost, 'the daemon that made it ahead is gone')
}

/** The daemon's own socket is replaced at its next start, and not ours to remove: it may be starting now. */
async function lostSockets({ paths }: Lookout): Promise<Leftover[]> {
  const names = (await namesIn(paths.sockets)).filter((name) => name.endsWith('.sock') && name !== 'daemon.sock')
  const lost: string[] = []
  for (const name of names) if (!(await isListening(join(paths.sockets, name)))) lost.push(name)
  return lostPaths('socket', paths.sockets, lost, 'nobody listens there')
}

async function lostFolders({ env, paths }: Lookout): Promise<Leftover[]> {
  const found: Leftover[] = []
  for (const parent of new Set([temporaryPlace(env), paths.stateFolder])) {
    const lost = (await namesIn(parent)).filter(isAbandoned)
    found.push(...(await lostPaths('folder', parent, await onlyOurs(parent, lost), 'the process that made it is gone')))
  }
  return found
}

/** Folders in which other state folders of this account have their sockets, where no daemon listens any more. */
async function lostSocketFolders({ at, env, paths }: Lookout): Promise<Leftover[]> {
  const found: Leftover[] = []
  for (const { parent, shape } of socketParents(env)) {
    const named = (await namesIn(parent)).filter((name) => shape.test(name) && join(parent, name) !== paths.sockets)
    const lost: string[] = []
    for (const name of await onlyOurs(parent, named))
      if ((await ageOf(join(parent, name), at)) > graceMs && !(await anybodyIn(join(parent, name)))) lost.push(name)
    found.push(...(await lostPaths('folder', parent, lost, 'no daemon listens in it')))
  }
  return found
}

async function anybodyIn(folder: string): Promise<boolean> {
  for (const name of await namesIn(folder)) if (await isListening(join(folder, name))) return true
  return false
}

/** Stores and packs that were being made when their maker died; both are made under another name and moved. */
async function unfinishedStores({ at, paths }: Lookout): Promise<Leftover[]> {
  const found: Leftover[] = []
  for (const repo of await namesIn(paths.repos)) {
    const folder = join(paths.repos, repo)
    const quarantine = join(folder, 'quarantine.git')
    const begun = [
      ...(await namesIn(folder)).filter((name) => name.includes('.git.new-')).map((name) => join(folder, name)),
      ...(await namesIn(quarantine))
        .filter((name) => name.startsWith('incoming-'))
        .map((name) => join(quarantine, name)),
    ]
    for (const path of begun)
      if ((await ageOf(path, at)) > busyMs)
        found.push(
          ...(await lostPaths('store', dirname(path), [path.slice(dirname(path).length + 1)], 'never finished')),
        )
  }
  return found
}

async function agedTranscripts({ at, paths, retention, isOwned }: Lookout): Promise<Leftover[]> {
  const found: Leftover[] = []
  for (const name of await namesIn(paths.transcripts)) {
    const path = join(paths.transcripts, name)
    if (isOwned(name.replace(/\.jsonl$/, '')) || (await ageOf(path, at)) <= retention.transcriptsMs) continue
    found.push(await aged('transcript', path, name, 'older than retention.transcripts'))
  }
  return found
}

async function agedLogs({ at, paths, retention }: Lookout): Promise<Leftover[]> {
  const found: Leftover[] = []
  for (const name of turnedLogs(paths.log)) {
    const path = join(dirname(paths.log), name)
    if ((await ageOf(path, at)) > retention.logsMs)
      found.push(await aged('log', path, name, 'older than retention.logs'))
  }
  return found
}

/** Those that an area has below its tree: in use for as long as it is there, whoever made it. */
async function layersInUse({ areas }: Paths): Promise<ReadonlySet<string>> {
  const used = new Set<string>()
  for (const attempt of await namesIn(areas))
    for (const area of await namesIn(join(areas, attempt))) {
      const layer = await readlink(join(areas, attempt, area, layerLink)).catch(() => null)
      if (layer !== null) used.add(basename(layer))
    }
  return used
}

/** How long nobody was given it, nor made it. */
const idleMsOf = async (layer: string, at: number): Promise<number> =>
  Math.min(...(await Promise.all([usedMark, layerManifest, '.'].map((file) => ageOf(join(layer, file), at)))))

/** Layers not given to anybody for a time, and beyond the count those given longest ago; one that may be in use never. */
export async function agedLayers({ at, paths, retention }: Pick<Lookout, 'at' | 'paths' | 'retention'>) {
  const used = await layersInUse(paths)
  const layers = await Promise.all(
    (await namesIn(paths.layers)).map(async (name) => {
      const path = join(paths.layers, name)
      const isWhole = (await ageOf(join(path, layerManifest), at)) < Infinity
      return { name, path, isWhole, idleMs: await idleMsOf(path, at) }
    }),
  )
  const idle = layers
    .filter(({ name, idleMs }) => idleMs > busyMs && !used.has(name))
    .toSorted((a, b) => b.idleMs - a.idleMs)
  const whole = idle.filter(({ isWhole }) => isWhole)
  const tooMany = Math.max(0, layers.filter(({ isWhole }) => isWhole).length - retention.layerCount)
  const surplus = new Set(whole.slice(0, tooMany))
  const found: Leftover[] = []
  for (const layer of idle) {
    const why = !layer.isWhole
      ? 'never finished'
      : layer.idleMs > retention.layersMs
        ? 'given to nobody for longer than retention.layers'
        : surplus.has(layer)
          ? 'one more than retention.layerCount, and given to nobody for the longest time'
          : null
    if (why !== null)
      found.push({
        ...(await aged('layer', layer.path, layer.name, why)),
        isUnaccounted: !layer.isWhole,
        isStillSo: async () =>
          (await idleMsOf(layer.path, at)) >= layer.idleMs && !(await layersInUse(paths)).has(layer.name),
      })
  }
  return found
}

async function agedCandidates({ git, stores, longOver }: Lookout): Promise<Leftover[]> {
  const found: Leftover[] = []
  for (const each of stores) {
    const names = await git.listCandidates(each)
    const taskOf = (name: string) => name.slice(0, name.indexOf('/'))
    const over = await longOver([...new Set(names.map(taskOf))])
    for (const name of names.filter((candidate) => over.has(taskOf(candidate))))
      found.push({
        kind: 'candidate',
        name,
        why: 'its task has been over for longer than retention.archives',
        path: null,
        bytes: 0,
        isUnaccounted: false,
        stores: each,
      })
  }
  return found
}

const aged = async (kind: Leftover['kind'], path: string, name: string, why: string): Promise<Leftover> => ({
  kind,
  name,
  why,
  path,
  bytes: await bytesOf(path),
  isUnaccounted: false,
})

export const lostPaths = (kind: Leftover['kind'], folder: string, names: readonly string[], why: string) =>
  Promise.all(
    names.map(async (name): Promise<Leftover> => ({
      ...(await aged(kind, join(folder, name), name, why)),
      isUnaccounted: true,
    })),
  )

/** What is in a folder; nothing where there is none. */
export const namesIn = async (folder: string): Promise<string[]> =>
  readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'EACCES') return []
    throw error
  })

/** Folders of this account: in a shared parent others may have some of the same name. */
async function onlyOurs(parent: string, names: readonly string[]): Promise<string[]> {
  const ours: string[] = []
  for (const name of names) {
    const found = await lstat(join(parent, name)).catch(() => null)
    if (found?.isDirectory() && found.uid === process.getuid?.()) ours.push(name)
  }
  return ours
}

/** Milliseconds since it was changed; Infinity where it is not there. */
async function ageOf(path: string, at: number): Promise<number> {
  const found = await stat(path).catch(() => null)
  return found === null ? Infinity : at - found.mtimeMs
}
