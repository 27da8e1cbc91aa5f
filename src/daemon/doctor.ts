/**
 * doctor: every requirement, one after the other, with how to mend it. What it finds is written down (table `health_status`, file health.json) where
 * there is a state to write to; `/health` writes the cheap ones of the same checks.
 *
 *     settings ─▶ machine ─▶ families ─▶ repository ─▶ (--live: one request a family) ─▶ (--gates) ─▶ (--profile production)
 */
import { existsSync } from 'node:fs'
import { lack, ok, warn, type Check } from '../core/check.ts'
import { isRefusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { loadConfig } from '../host/config.ts'
import { isAlive } from '../host/proc.ts'
import type { Env, Paths } from '../host/path.ts'
import type { World } from '../host/world.ts'
import { askedOf, createSandbox } from '../sandbox/create.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { daemonRow } from '../store/lease.ts'
import { lastAt } from '../store/log.ts'
import { listRepos, type RepoRow } from '../store/task.ts'
import { examineFamilies, type FamilyPorts } from './check-family.ts'
import { examineGates } from './check-gates.ts'
import { checkSealKey } from './check-key.ts'
import { examineLive } from './check-live.ts'
import { examineMachine } from './check-machine.ts'
import { examineProduction } from './check-production.ts'
import { examineNamed, examineRepository } from './check-repository.ts'
import { pricesFor } from './prices.ts'
import { record } from './record.ts'

export type DoctorOptions = {
  world: World
  env: Env
  paths: Paths
  cwd: string
  /** Ask each model for one token. */
  live: boolean
  /** Execute the repository's gates on its base. */
  gates: boolean
  /** Look at what going live asks for, too. */
  production: boolean
  note(text: string): void
}

/** Looks at everything; answers what it found. */
export async function examine(options: DoctorOptions): Promise<Check[]> {
  const { world, env, paths } = options
  const database = existsSync(paths.database) ? openDatabase(paths.database) : null
  try {
    const known = await recall(database)
    const { check, settings } = await readSettings(options)
    const checks = [check, ...(await examineMachine({ ...options, settings, ...known }))]
    if (database?.isCurrent) checks.push(...(await checkSealKey(database)))
    if (settings) {
      const ports = {
        world,
        env,
        keys: paths.keys,
        prices: pricesFor(settings),
        trial: trialWith(options, settings, database),
      }
      checks.push(...(await examineFamilies(ports, settings)).checks)
    }
    if (settings && options.live) checks.push(...(await examineLive({ world, env, keys: paths.keys, settings })))
    const {
      checks: ofRepository,
      row,
      repository,
    } = await examineRepository({ ...options, settings, known: known.repos })
    checks.push(...ofRepository, ...(settings ? examineNamed(settings, known.repos) : []))
    if (options.gates && settings && row && repository)
      checks.push(...(await examineGates({ ...options, settings, row })))
    if (options.production) checks.push(...(await examineProduction({ ...options, settings, checks })))
    if (database) await record(database, { world, paths }, checks, true)
    return checks
  } finally {
    database?.close()
  }
}

async function readSettings({
  paths,
  env,
}: DoctorOptions): Promise<{ check: Check; settings: OperatorSettings | null }> {
  const loaded = await loadConfig({ file: paths.configFile, env })
  if (isRefusal(loaded)) return { check: lack('settings', loaded.why, loaded.hint ?? null), settings: null }
  const { settings, file, notes } = loaded
  if (file === null)
    return { check: lack('settings', `no file at ${paths.configFile}`, 'tri-agent init, in your repository'), settings }
  return {
    check: notes.length === 0 ? ok('settings', file) : warn('settings', `${file}; ${notes.join('; ')}`),
    settings,
  }
}

type Known = { daemonPid: number | null; lastEventAt: number; repos: readonly RepoRow[] }

const recall = async (database: Database | null): Promise<Known> =>
  database === null
    ? { daemonPid: null, lastEventAt: 0, repos: [] }
    : database.read(async (reader) => {
        const row = await daemonRow(reader)
        const isUp = row && isAlive({ bootId: row.boot_id, pid: row.pid, startTime: row.start_time })
        return { daemonPid: isUp ? row.pid : null, lastEventAt: await lastAt(reader), repos: await listRepos(reader) }
      })

/** Tries an agent that nobody tested, where there is a state to remember it in and a sandbox to hold it; else that is missed elsewhere. */
const trialWith =
  ({ world, env, paths }: DoctorOptions, settings: OperatorSettings, database: Database | null): FamilyPorts['trial'] =>
  async (family, named, located) => {
    if (database === null) return null
    const path = env['PATH'] ?? '/usr/bin:/bin'
    const sandbox = await createSandbox(world, askedOf(settings, paths, path))
    if (isRefusal(sandbox)) return null
    const { trialTurn } = await import('./trial-turn.ts')
    return trialTurn({ world, sandbox, settings, database }, family, named, located)
  }
