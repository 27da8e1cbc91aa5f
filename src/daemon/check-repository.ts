/** Whether the repository one stands in is ready: known here, its tri-agent.yaml on the base, its gates, the programs those need. Executes nothing of it. */
import { lack, ok, warn, type Check } from '../core/check.ts'
import { checkOutside } from '../core/outside.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { OperatorSettings, RepositorySettings } from '../core/setting.ts'
import { inspectRepository } from '../git/inspect.ts'
import { parseRepositoryConfig, tighten } from '../host/config.ts'
import { examineToolchain } from '../host/detect.ts'
import type { Env } from '../host/path.ts'
import type { World } from '../host/world.ts'
import type { RepoRow } from '../store/task.ts'
import { repositoryFile } from './repository.ts'

export type RepositoryPorts = {
  world: World
  env: Env
  /** Where the person stands. */
  cwd: string
  settings: OperatorSettings | null
  known: readonly RepoRow[]
}

/** The checks, and what was read where all is well. */
export async function examineRepository(
  ports: RepositoryPorts,
): Promise<{ checks: Check[]; row: RepoRow | null; repository: RepositorySettings | null }> {
  const { world, env, cwd, settings, known } = ports
  const look = (base: string | null) =>
    inspectRepository(world, { folder: cwd, path: env['PATH'] ?? '/usr/bin:/bin', base })
  const here = await look(null)
  const none = { row: null, repository: null }
  if (isRefusal(here) && here.refused === 'not-a-repository')
    return { ...none, checks: [warn('repository', `${cwd} is in no repository`, 'cd into one of yours')] }
  if (isRefusal(here)) return { ...none, checks: [missing('repository', here)] }
  const row = known.find(({ path }) => path === here.top) ?? null
  if (row === null) return { ...none, checks: [lack('repository', `${here.top} is not known here`, 'tri-agent init')] }
  const based = row.base === here.base ? here : await look(row.base)
  if (isRefusal(based)) return { ...none, row, checks: [missing('repository', based)] }
  const found = ok('repository', `${row.name}, work starts from ${row.base}`)
  const text = based.read(repositoryFile)
  if (text === null)
    return {
      row,
      repository: null,
      checks: [
        found,
        lack(
          repositoryFile,
          `is not on ${row.base}`,
          `git add ${repositoryFile} && git commit, on ${row.base} (tri-agent init writes it)`,
        ),
      ],
    }
  const parsed = await parseRepositoryConfig(text, `${row.name}:${repositoryFile}`)
  const held = isRefusal(parsed) || settings === null ? parsed : tighten(settings, parsed)
  if (isRefusal(held)) return { row, repository: null, checks: [found, missing(repositoryFile, held)] }
  return {
    row,
    repository: held,
    checks: [
      found,
      ok(repositoryFile, `on ${row.base}`),
      gates(held),
      toolchain(held, env),
      ...checkOutside(based.outside),
    ],
  }
}

/** Limits for a repository that is not registered, or by another name, limit nothing. */
export function examineNamed({ money, caps }: OperatorSettings, known: readonly RepoRow[]): Check[] {
  const named = [
    ...Object.keys(money.repositoriesNanoUsd).map((name) => ({ key: 'money.repositories', name })),
    ...Object.keys(caps.repositories).map((name) => ({ key: 'caps.repositories', name })),
  ].filter(({ name }) => !known.some((each) => each.name === name))
  if (named.length === 0) return []
  const said = named.map(({ key, name }) => `${key}.${name}`).join(', ')
  const names = known.map(({ name }) => name).join(', ') || 'none yet'
  return [
    warn(
      'limits',
      `${said}: no repository of that name is registered, nothing is limited by it`,
      `registered: ${names}`,
    ),
  ]
}

const missing = (name: string, { why, hint }: Refusal): Check => lack(name, why, hint ?? null)

function gates({ gates: all }: RepositorySettings): Check {
  const on = all.filter(({ baseline }) => baseline !== 'off')
  if (on.length === 0)
    return lack('gates', 'none: nothing shows that a change works', `name the command that tests in ${repositoryFile}`)
  return ok('gates', on.map(({ name }) => name).join(', '))
}

function toolchain(settings: RepositorySettings, env: Env): Check {
  const { missing: lacking } = examineToolchain(settings, env)
  return lacking.length === 0
    ? ok('toolchain', settings.toolchain.join(', ') || 'nothing asked for')
    : lack(
        'toolchain',
        lacking.map(({ name, why }) => `${name} ${why}`).join('; '),
        `install it, or correct toolchain in ${repositoryFile}`,
      )
}
