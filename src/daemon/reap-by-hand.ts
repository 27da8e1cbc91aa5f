/**
 * reap and clean, asked by a person: the same look and the same ends as the daemon's reaper, from outside of it. While a daemon is up, what only it
 * knows (its clones, what it carries) is left to it; while none is, nothing has an owner.
 */
import { defaultSettings } from '../core/setting.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { createGit } from '../git/subprocess.ts'
import { loadConfig } from '../host/config.ts'
import { isAlive } from '../host/proc.ts'
import type { Env, Paths } from '../host/path.ts'
import type { World } from '../host/world.ts'
import { abandonedCgroups } from '../sandbox/cgroup.ts'
import type { Database } from '../store/database.ts'
import { daemonRow } from '../store/lease.ts'
import { attemptsOfOver, listRepos } from '../store/task.ts'
import { pathOf } from './ahead.ts'
import { buryTree } from './bury.ts'
import { agedLayers, findAged, findUnaccounted, lostPaths, namesIn, type Leftover, type Lookout } from './leftover.ts'
import { isTryOut } from './machine.ts'
import { machinePorts } from './ports.ts'
import { hasFinished } from './salvage.ts'
import { readKnown, reap, type ReapPorts } from './reaper.ts'
import { elsewhere, isElsewhere } from './takeover.ts'

export type HandPorts = { world: World; env: Env; paths: Paths; database: Database; actor: string }

/** What the daemon's reaper would take, as far as it can be known from outside. */
export async function findLeftovers(ports: HandPorts): Promise<Leftover[] | Refusal> {
  const look = await lookFromOutside(ports)
  if (isRefusal(look)) return look
  return [...(await findUnaccounted(look)), ...(await findAged(look))]
}

/** What could be had back: that, and what is kept for convenience alone. Nothing that an open task or a living daemon may want. */
export async function findSpare(ports: HandPorts): Promise<Leftover[] | Refusal> {
  const look = await lookFromOutside(ports)
  if (isRefusal(look)) return look
  const nothing = { layersMs: 0, layerCount: 0 }
  const [unaccounted, aged, layers, stores, transcripts] = await Promise.all([
    findUnaccounted(look),
    findAged(look),
    agedLayers({ ...look, retention: { ...look.retention, ...nothing } }),
    forgottenStores(ports),
    transcriptsOfOver(ports),
  ])
  const spare = layers.map((layer) => ({ ...layer, why: 'made again when it is needed' }))
  const all = [...unaccounted, ...aged, ...stores, ...transcripts, ...spare]
  return [...new Map(all.toReversed().map((each) => [`${each.kind} ${each.path ?? each.name}`, each])).values()]
}

/** Ends and removes them; answers what is gone. */
export function reapByHand({ world, env, database, actor }: HandPorts, found: readonly Leftover[]) {
  const ports: ReapPorts = {
    world,
    database,
    git: createGit(world, { path: pathOf(env) }),
    bury: (row) => buryTree(world, machinePorts.processes, row),
    at: world.clock.now(),
    actor,
  }
  return reap(ports, found)
}

/** Ends what a daemon that is gone left of these attempts: false where something of one lives on. Attempts without a process are left out. */
export async function endProcesses(
  ports: HandPorts,
  attempts: ReadonlySet<string>,
): Promise<Map<string, boolean> | Refusal> {
  const look = await lookFromOutside(ports)
  if (isRefusal(look)) return look
  const found = (await findUnaccounted(look)).filter(({ row }) => row && attempts.has(row.attempt))
  const gone = await reapByHand(ports, found)
  return new Map(found.map((each) => [each.row!.attempt, gone.includes(each)]))
}

async function lookFromOutside({ world, env, paths, database }: HandPorts): Promise<Lookout | Refusal> {
  if (await isElsewhere(database, machinePorts, paths.socket))
    return refuse(
      'daemon-elsewhere',
      `${elsewhere}, and what it has at work cannot be told from here`,
      'do it in there',
    )
  const loaded = await loadConfig({ file: paths.configFile, env })
  const { retention } = isRefusal(loaded) ? defaultSettings(1) : loaded.settings
  const known = await readKnown(database, { paths, retention, at: world.clock.now() })
  const row = await database.read(daemonRow)
  const isUp = row !== undefined && isAlive({ bootId: row.boot_id, pid: row.pid, startTime: row.start_time })
  return {
    ...known,
    env,
    cgroups: abandonedCgroups(paths.stateFolder),
    git: createGit(world, { path: pathOf(env) }),
    isOwned: (attempt) => isUp && (known.leases.has(attempt) || isTryOut(attempt)),
    isKept: (attempt) => known.leases.has(attempt) && hasFinished(paths, attempt),
    isClone: () => isUp,
  }
}

/** Our stores of repositories that are not registered. */
async function forgottenStores({ paths, database }: HandPorts): Promise<Leftover[]> {
  const known = new Set((await database.read(listRepos)).map(({ id }) => id))
  const lost = (await namesIn(paths.repos)).filter((name) => !known.has(name))
  return lostPaths('store', paths.repos, lost, 'its repository is not registered')
}

async function transcriptsOfOver({ paths, database }: HandPorts): Promise<Leftover[]> {
  const names = (await namesIn(paths.transcripts)).filter((name) => name.endsWith('.jsonl'))
  const over = new Set(
    await database.read((reader) =>
      attemptsOfOver(
        reader,
        names.map((name) => name.slice(0, -6)),
      ),
    ),
  )
  const lost = names.filter((name) => over.has(name.slice(0, -6)))
  const found = await lostPaths('transcript', paths.transcripts, lost, 'its task is over')
  return found.map((each) => ({ ...each, isUnaccounted: false }))
}
