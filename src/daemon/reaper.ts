/**
 * The reaper: processes and folders, not rows (those are the rescuer's). Every 30 seconds and at the start it ends or removes what has no owner, and
 * now and then what has come of age; an event says what that was. Nothing is ended that is not in our process table.
 *
 *     leftover.ts looks ─▶ process proven dead · folder, socket, layer, transcript removed ─▶ daemon.reaped
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { OperatorSettings } from '../core/setting.ts'
import type { Git } from '../git/git.ts'
import { bytesOf } from '../host/file-system.ts'
import { turnLog } from '../host/log-file.ts'
import type { Env, Paths } from '../host/path.ts'
import type { World } from '../host/world.ts'
import { removeTree } from '../sandbox/area.ts'
import { endCgroup } from '../sandbox/cgroup.ts'
import { layerManifest } from '../sandbox/layer.ts'
import type { Database } from '../store/database.ts'
import { allLeases, forgetProcess, recordedProcesses, type ProcessRow } from '../store/lease.ts'
import { append } from '../store/append.ts'
import { archivesNamed, listRepos, longOver } from '../store/task.ts'
import { sweepArchives } from './archive.ts'
import type { Daemon } from './daemon.ts'
import { findAged, findUnaccounted, type Leftover, type Lookout } from './leftover.ts'
import { tryOutOf } from './machine.ts'
import { storesOf } from './repository.ts'

/** numbers.md: every 30 s. */
export const reapEveryMs = 30_000
/** Looking at the age of everything that is kept is not worth doing every time: once an hour. */
const passesPerAging = 120
/** A log is turned over once a day, or sooner where it is kept for less. */
const dayMs = 24 * 3_600_000
/** Nor is every file of every area worth counting: every 5 minutes. */
const passesPerMeasuring = 10

/** One pass of the daemon's own reaper. */
export function reaper(daemon: Daemon, env: Env) {
  const { database, world, paths, settings, engine, pool } = daemon
  let passes = 0
  const endOverlong = overlong(daemon)
  return async (): Promise<void> => {
    endOverlong()
    const at = world.clock.now()
    const known = await readKnown(database, { paths, retention: settings.retention, at })
    const look: Lookout = {
      ...known,
      env,
      cgroups: daemon.lostCgroups(),
      git: daemon.git,
      isOwned: (attempt) =>
        known.leases.has(attempt) || engine.carrying().includes(attempt) || attempt === tryOutOf(daemon.epoch),
      isKept: () => false, // what it takes in has a lease
      isClone: (name) => pool.has(name),
    }
    const found = await findUnaccounted(look)
    if (passes % passesPerAging === 1) {
      turnLog(paths.log, at, Math.min(dayMs, settings.retention.logsMs))
      found.push(...(await findAged(look)))
    }
    if (passes % passesPerMeasuring === 1) daemon.measured.areaBytes = await bytesOf(paths.areas)
    daemon.measured.archives = await sweepArchives(
      paths.archives,
      async (attempts) =>
        new Set([...(await database.read((reader) => archivesNamed(reader, attempts))), ...engine.carrying()]),
      { at, keptMs: settings.retention.archivesMs },
    )
    passes += 1
    await reap({ world, database, git: daemon.git, bury: daemon.bury, at, actor: 'daemon' }, found)
  }
}

/** What the database says of owners. */
export async function readKnown(
  database: Database,
  { paths, retention, at }: { paths: Paths; retention: OperatorSettings['retention']; at: number },
) {
  const since = at - retention.archivesMs
  const read = await database.read(async (reader) => ({
    leases: new Map((await allLeases(reader)).map(({ attempt, epoch }) => [attempt, epoch])),
    processes: await recordedProcesses(reader),
    stores: (await listRepos(reader)).map((row) => storesOf(paths.repos, row)),
  }))
  const over = (tasks: readonly string[]) => database.read((reader) => longOver(reader, tasks, since))
  return { at, paths, retention, ...read, longOver: over }
}

/** The last bound on an attempt, should its own vigil have failed: on the clock that nobody sets. */
function overlong({ engine, settings, absence, world }: Daemon): () => void {
  const since = new Map<string, number>()
  return () => {
    const now = world.clock.mono() - absence.lostMs()
    const carrying = engine.carrying()
    for (const attempt of since.keys()) if (!carrying.includes(attempt)) since.delete(attempt)
    for (const attempt of carrying)
      if (!since.has(attempt)) since.set(attempt, now)
      else if (now - since.get(attempt)! > settings.patience.wallMs) engine.revoke(attempt, 'timed-out')
  }
}

export type ReapPorts = {
  world: World
  database: Database
  git: Pick<Git, 'dropCandidates'>
  /** Ends a recorded process tree and proves it. */
  bury(row: ProcessRow): Promise<boolean>
  at: number
  actor: string
}

/** More than this is a number, not a list that anybody reads. */
const named = 50

/** Ends and removes what was found, and writes down what is gone. Answers that; what could not be removed is met again. */
export async function reap(ports: ReapPorts, found: readonly Leftover[]): Promise<Leftover[]> {
  const { database, at, actor } = ports
  const gone: Leftover[] = []
  for (const each of found) if ((await each.isStillSo?.()) !== false && (await end(ports, each))) gone.push(each)
  if (gone.length === 0) return gone
  const unaccounted = gone.filter(({ isUnaccounted }) => isUnaccounted).length
  const event = {
    type: 'daemon.reaped' as const,
    found: gone.slice(0, named).map(({ kind, name, why }) => ({ kind, name, why })),
    count: gone.length,
    unaccounted,
    bytes: gone.reduce((sum, { bytes }) => sum + bytes, 0),
  }
  await database.write((tx) => append(tx, { at, actor, stream: 'daemon/main', events: [event] }))
  return gone
}

async function end(
  { world, database, git, bury }: ReapPorts,
  { kind, name, path, row, stores }: Leftover,
): Promise<boolean> {
  if (row) {
    if (!(await bury(row))) return false
    await removeTree(row.area)
    await database.write((tx) => forgetProcess(tx, row.attempt))
    return true
  }
  if (kind === 'cgroup') return endCgroup(world, path!)
  const removed = stores
    ? git.dropCandidates(stores, [name])
    : kind === 'layer'
      ? removeLayer(path!)
      : kind === 'socket' || kind === 'transcript' || kind === 'log'
        ? rm(path!, { force: true })
        : removeTree(path!)
  return removed.then(
    () => true,
    () => false, // somebody else's hand is on it; the next pass meets it again
  )
}

/** Not a layer from the first moment on: nobody may be given one that is half gone. */
async function removeLayer(path: string): Promise<void> {
  await rm(join(path, layerManifest), { force: true })
  await removeTree(path)
}
