/** doctor --profile production: the machine's size, and the checklist of going live: keys, schema, quotas, rate limits, backup. */
import { availableParallelism, totalmem } from 'node:os'
import { lack, ok, warn, type Check } from '../core/check.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { isRefusal } from '../core/refusal.ts'
import { isDefaultPassword } from '../host/env-file.ts'
import { listStored } from '../host/key-store.ts'
import type { Env, Paths } from '../host/path.ts'
import type { World } from '../host/world.ts'
import { lastBackupAt } from '../store/backup.ts'

type ProductionPorts = {
  world: World
  env: Env
  paths: Paths
  settings: OperatorSettings | null
  live: boolean
  checks: readonly Check[]
}

/** All of the checklist. What only other checks can say (limits, schema) is taken from them. */
export async function examineProduction(ports: ProductionPorts): Promise<Check[]> {
  const size = {
    memoryBytes: Math.min(totalmem(), process.constrainedMemory?.() || totalmem()),
    cores: availableParallelism(),
  }
  return [...judgeSize(size), await rotation(ports), limits(ports), listening(ports), password(ports), backup(ports)]
}

const gigabyte = 1024 ** 3

/** The quotas asked for are 8 GB and 4 cores; a tenth below is well, because no machine reports all the memory it was sold with. */
export function judgeSize({ memoryBytes, cores }: { memoryBytes: number; cores: number }): Check[] {
  const mend = 'a larger machine, or a higher limit of the container'
  const memory = `${(memoryBytes / gigabyte).toFixed(1)} GB of memory`
  return [
    memoryBytes < 7.2 * gigabyte
      ? lack('production memory', `${memory}, 8 are asked for`, mend)
      : ok('production memory', memory),
    cores < 4
      ? lack('production cores', `${cores} cores, 4 are asked for`, mend)
      : ok('production cores', `${cores} cores`),
  ]
}

const longestAgeDays = 90
const dayMs = 86_400_000

async function rotation({ world, paths, settings }: ProductionPorts): Promise<Check> {
  const name = 'production keys'
  const rows = (await listStored(paths.keys)).flatMap((row) => (isRefusal(row) ? [] : [row]))
  const now = world.clock.now()
  const old = rows.filter(({ setAt }) => now - setAt > longestAgeDays * dayMs).map((row) => row.name)
  if (old.length > 0)
    return warn(
      name,
      `older than ${longestAgeDays} days: ${old.join(', ')}`,
      `rotate them: tri-agent keys set ${old[0]}`,
    )
  const elsewhere = Object.entries(settings?.families ?? {})
    .filter(([, { keyFrom }]) => !('stored' in keyFrom))
    .map(([family]) => family)
  return elsewhere.length > 0
    ? warn(
        name,
        `how old they are is not known: ${elsewhere.join(', ')}`,
        'rotate them before going live, or keep them with: tri-agent keys set',
      )
    : ok(name, rows.map((row) => row.name).join(', ') || 'none')
}

/** What --live found; without it nobody asked. */
function limits({ checks, live }: ProductionPorts): Check {
  const name = 'production rate limits'
  if (!live) return warn(name, 'not asked', 'tri-agent doctor --live --profile production')
  const poor = checks
    .filter((check) => check.name.startsWith('live ') && check.state !== 'ok')
    .map((check) => check.name.slice('live '.length))
  return poor.length === 0
    ? ok(name, 'they feed the slots that are set')
    : warn(name, `see live: ${poor.join(', ')}`, 'ask those providers for a higher limit')
}

function listening({ settings }: ProductionPorts): Check {
  const host = settings?.http.host ?? '127.0.0.1'
  return /^(?:127\.|::1$|localhost$)/.test(host)
    ? ok('production address', `${host}, this machine alone`)
    : warn('production address', `${host} can be reached from elsewhere`, 'let only the monitoring reach it')
}

function password({ env }: ProductionPorts): Check {
  const said = env['GRAFANA_PASSWORD']
  if (said === undefined) return ok('production password', 'no GRAFANA_PASSWORD is set')
  return isDefaultPassword(said)
    ? lack(
        'production password',
        'GRAFANA_PASSWORD is one that stands in examples',
        'choose another: openssl rand -base64 24',
      )
    : ok('production password', 'GRAFANA_PASSWORD is one of your own')
}

/** Twice as old as one may be is late; without settings, two days. */
function backup({ world, paths, settings }: ProductionPorts): Check {
  const name = 'production backup'
  const mend = 'tri-agent backup --to /another/disk/tasks.db; the daemon takes one by itself while it is up'
  const last = lastBackupAt(paths.database)
  if (last === null) return warn(name, 'there is no backup of the state yet', mend)
  const ageMs = world.clock.now() - last
  const hours = `${Math.floor(ageMs / 3_600_000)} h old`
  return ageMs > 2 * (settings?.backup.everyMs ?? dayMs)
    ? warn(name, `the last one is ${hours}`, mend)
    : ok(name, `the last one is ${hours}; it lies beside the state: copy it to another disk too`)
}
