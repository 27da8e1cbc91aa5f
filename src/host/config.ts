/**
 * The two config files and the environment, made into settings. The operator's file alone says what may be spent, reached and landed; the
 * repository's is handed in as text (read from the base commit by whoever asks) and may only tighten.
 *
 *     defaults ◀─ environment ◀─ the operator's file ─▶ settings, each value with its origin
 *
 * It never prints a key, never falls back to a default for a value that is wrong, and loads the parsers only when there is a file to read.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { showDuration, showSize, showUsd } from '../core/quantity.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import {
  builtInProtectedPaths,
  defaultRepositorySettings,
  defaultSettings,
  gateTimeoutMs,
  type OperatorSettings,
  type RepositorySettings,
  vendors,
} from '../core/setting.ts'
import { suggestion } from '../core/nearest.ts'
import { familiesOf, type Origin, originOf, type Written } from './config-family.ts'
import { notesOnTools, providerToolOrigins, providerToolsOf } from './config-tool.ts'
import { Fault } from './fault.ts'
import { showKeySource } from './key.ts'
import { type Env, findPaths } from './path.ts'

export type LoadedConfig = {
  settings: OperatorSettings
  origins: Origin[]
  /** What a person should know: accepted and unused, set and ignored. */
  notes: string[]
  /** The file read, or null where there is none. */
  file: string | null
}

/** Largest config file read, in bytes; a thousand times what one needs. */
const largestFile = 1024 * 1024

/**
 * The operator's settings. Refuses `config-invalid` (one line per mistake) and `config-unsafe` (others could read a key in it, or write it).
 * Faults: `config-unreadable`.
 */
export async function loadConfig(options: { file: string; env: Env; cores?: number }): Promise<LoadedConfig | Refusal> {
  const { file, env } = options
  const defaults = defaultSettings(options.cores ?? availableParallelism())
  const written = await readOperatorFile(file)
  if (isRefusal(written)) return written
  const unattended = autonomousMode(env, written)
  if (isRefusal(unattended)) return unattended
  const plain = lay(defaults, written, unattended === null ? {} : { unattended })
  const families = written ? familiesOf(written, env, keysFolder(env)) : { settings: {}, origins: [] }
  if (isRefusal(families)) return families
  const settings: OperatorSettings = {
    ...plain.settings,
    families: families.settings,
    providerTools: providerToolsOf(written),
    ...pricesOf(written),
  }
  const wrong = contradiction(settings, written)
  if (wrong) return wrong
  const origins = [
    ...families.origins,
    ...plain.origins,
    ...providerToolOrigins(settings, written),
    ...credentialOrigins(settings, written),
    ...capOrigins(settings, written),
    ...dayOrigins(settings, written),
    ...priceOrigins(settings, written),
  ]
  return { settings, origins, notes: notesOn(env, settings), file: written ? file : null }
}

/** Where `keys set` keeps keys for whoever this environment belongs to; null where it names nobody. */
const keysFolder = (env: Env): string | null => (env['HOME'] || env['XDG_STATE_HOME'] ? findPaths(env).keys : null)

async function readOperatorFile(file: string): Promise<Written | null | Refusal> {
  let handle: FileHandle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new Fault('config-unreadable', `${file} cannot be read`, { cause: error, hint: `check it: ls -l ${file}` })
  }
  try {
    const { mode, size } = await handle.stat()
    if (size > largestFile) return refuse('config-invalid', `${file} is larger than ${showSize(largestFile)}`)
    if ((mode & 0o002) !== 0)
      return refuse('config-unsafe', `${file} can be written by every user of this machine`, `chmod 600 ${file}`)
    const [{ readYaml }, { check, operatorSchema }] = await Promise.all([
      import('./yaml.ts'),
      import('./config-schema.ts'),
    ])
    const yaml = readYaml(await handle.readFile('utf8'), file)
    if (isRefusal(yaml)) return yaml
    const values = check(operatorSchema, yaml, file)
    if (isRefusal(values)) return values
    const holdsKey = Object.values(values.families ?? {}).some((each) => each.keyFrom?.value !== undefined)
    if (holdsKey && (mode & 0o077) !== 0)
      return refuse('config-unsafe', `${file} holds a key and can be read by others`, `chmod 600 ${file}`)
    return { file, yaml, values }
  } finally {
    await handle.close()
  }
}

/** CLAUDE_AUTONOMOUS_MODE is the seed's name for `unattended`. Said twice and differently, it is refused: landing without a person is no guess. */
function autonomousMode(env: Env, written: Written | null): boolean | null | Refusal {
  const said = env['CLAUDE_AUTONOMOUS_MODE']
  if (said === undefined || said === '') return null
  const value = { true: true, '1': true, false: false, '0': false }[said.toLowerCase()]
  if (value === undefined)
    return refuse(
      'config-invalid',
      'CLAUDE_AUTONOMOUS_MODE must be true or false',
      'unset it, or set it to true or false',
    )
  const inFile = written?.values.unattended
  if (inFile !== undefined && inFile !== value)
    return refuse(
      'config-invalid',
      `CLAUDE_AUTONOMOUS_MODE says ${value} and ${written!.file}:${written!.yaml.lineOf(['unattended'])} says unattended: ${inFile}`,
      'remove one of the two',
    )
  return value
}

const unitSuffix = /(?:Ms|NanoUsd|Bytes)$/

/** The key as a person writes it: `dayNanoUsd` is `day`. */
const writtenKey = (key: string): string => key.replace(unitSuffix, '')

function show(key: string, value: unknown): string {
  if (typeof value === 'number') {
    if (key.endsWith('NanoUsd')) return showUsd(value)
    if (key.endsWith('Ms')) return showDuration(value)
    if (key.endsWith('Bytes')) return showSize(value)
  }
  return Array.isArray(value) ? value.join(', ') || 'none' : String(value)
}

/** Lays the file over the environment over the defaults, value by value. Families and prices are lists of their own. */
function lay(defaults: OperatorSettings, written: Written | null, fromEnv: { unattended?: boolean }) {
  const origins: Origin[] = []
  const choose = (path: string[], key: string, fallback: unknown): unknown => {
    const inFile = path.reduce<unknown>(
      (each, step) => (each as Record<string, unknown> | undefined)?.[step],
      written?.values,
    )
    const inEnv = path.length === 1 ? (fromEnv as Record<string, unknown>)[key] : undefined
    const value = inFile ?? inEnv ?? fallback
    const origin =
      inFile !== undefined ? originOf(written!, path) : inEnv !== undefined ? 'env CLAUDE_AUTONOMOUS_MODE' : 'default'
    if (key !== 'credentials' && path[0] !== 'caps' && !partsOfDay.includes(path.join('.')))
      origins.push({ key: path.join('.'), value: show(key, value), origin })
    return value
  }
  const settings = { ...defaults } as Record<string, unknown>
  for (const [name, section] of Object.entries(defaults)) {
    if (['families', 'providerTools', 'prices', 'priceChecks'].includes(name)) continue
    settings[name] =
      typeof section === 'object'
        ? Object.fromEntries(
            Object.entries(section).map(([key, value]) => [key, choose([name, writtenKey(key)], key, value)]),
          )
        : choose([name], name, section)
  }
  return { settings: settings as OperatorSettings, origins }
}

function pricesOf(written: Written | null): Pick<OperatorSettings, 'prices' | 'priceChecks'> {
  const rows = Object.entries(written?.values.prices ?? {})
  return {
    prices: rows.flatMap(([model, { input, output, cachedInput, cacheWrite }]) =>
      input === undefined || output === undefined
        ? []
        : [
            {
              model,
              inputPerMtokUsd: input,
              outputPerMtokUsd: output,
              ...(cachedInput === undefined ? {} : { cachedInputPerMtokUsd: cachedInput }),
              ...(cacheWrite === undefined ? {} : { cacheWritePerMtokUsd: cacheWrite }),
            },
          ],
    ),
    priceChecks: rows.flatMap(([model, { checked }]) => (checked === undefined ? [] : [{ model, on: checked }])),
  }
}

const credentialOrigins = ({ setup }: OperatorSettings, written: Written | null): Origin[] =>
  setup.credentials.map(({ name, as, from }, index) => ({
    key: `setup.credentials.${name}`,
    value: `${as} from ${showKeySource(from)}`,
    origin: originOf(written!, ['setup', 'credentials', String(index)]),
  }))

const capOrigins = ({ caps }: OperatorSettings, written: Written | null): Origin[] =>
  Object.entries(caps).flatMap(([kind, each]) =>
    Object.entries(each).map(([name, most]) => ({
      key: `caps.${kind}.${name}`,
      value: String(most),
      origin: originOf(written!, ['caps', kind, name]),
    })),
  )

/** What a repository or a family may cost a day. */
const partsOfDay = ['money.repositories', 'money.families']

const dayOrigins = ({ money }: OperatorSettings, written: Written | null): Origin[] =>
  (
    [
      ['repositories', money.repositoriesNanoUsd],
      ['families', money.familiesNanoUsd],
    ] as const
  ).flatMap(([kind, limits]) =>
    Object.entries(limits).map(([name, nanoUsd]) => ({
      key: `money.${kind}.${name}`,
      value: showUsd(nanoUsd),
      origin: originOf(written!, ['money', kind, name]),
    })),
  )

const priceOrigins = ({ prices, priceChecks }: OperatorSettings, written: Written | null): Origin[] =>
  [
    ...prices.map(({ model, inputPerMtokUsd, outputPerMtokUsd }) => ({
      model,
      value: `$${inputPerMtokUsd} in, $${outputPerMtokUsd} out per million tokens`,
    })),
    ...priceChecks.map(({ model, on }) => ({ model, value: `as in the table, looked up ${on}` })),
  ].map(({ model, value }) => ({ key: `prices.${model}`, value, origin: originOf(written!, ['prices', model]) }))

/** Values that are each allowed and together are not. */
function contradiction(
  { lease, retry, families, providerTools, money }: OperatorSettings,
  written: Written | null,
): Refusal | null {
  const say = (path: string[], message: string) =>
    refuse(
      'config-invalid',
      `${written ? `${written.file}:${written.yaml.lineOf(path)}: ` : ''}${path.join('.')}: ${message}`,
    )
  for (const [path, named] of [
    [['providerTools'], providerTools],
    [['money', 'families'], money.familiesNanoUsd],
  ] as const) {
    const stranger = Object.keys(named).find((family) => !Object.hasOwn(families, family))
    if (stranger === undefined) continue
    const known = Object.keys(families)
    const others = known.length === 0 ? 'none is configured yet: tri-agent init' : suggestion(stranger, known)
    return say([...path, stranger], `is no configured family; ${others}`)
  }
  if (lease.leaseMs < 2 * lease.beatMs)
    return say(
      ['lease', 'lease'],
      `must be at least two beats (${showDuration(2 * lease.beatMs)}), or one lost beat ends an attempt`,
    )
  if (retry.capMs < retry.firstMs)
    return say(['retry', 'cap'], `must not be below retry.first (${showDuration(retry.firstMs)})`)
  return null
}

function notesOn(env: Env, { families, providerTools }: OperatorSettings): string[] {
  const notes = notesOnTools(providerTools)
  if (env['REDIS_URL']) notes.push('REDIS_URL is accepted and not used: one machine needs no Redis')
  for (const [family, { keyVariables }] of Object.entries(vendors)) {
    const variable = keyVariables.find((each) => env[each])
    if (variable && !families[family])
      notes.push(`${variable} is set, but families.${family} is not configured: tri-agent init adds it`)
  }
  return notes
}

/** A repository's `tri-agent.yaml` as text, from the base commit. `file` names it in messages. Refuses: `config-invalid`. */
export async function parseRepositoryConfig(
  text: string,
  file = 'tri-agent.yaml',
): Promise<RepositorySettings | Refusal> {
  const [{ readYaml }, { check, repositorySchema }] = await Promise.all([
    import('./yaml.ts'),
    import('./config-schema.ts'),
  ])
  if (text.length > largestFile) return refuse('config-invalid', `${file} is larger than ${showSize(largestFile)}`)
  const yaml = readYaml(text, file)
  if (isRefusal(yaml)) return yaml
  const values = check(repositorySchema, yaml, file)
  if (isRefusal(values)) return values
  const { base, path, setup, setupKey, toolchain, gates, protectedPaths, review, money } = values
  return {
    ...defaultRepositorySettings(),
    base: base ?? null,
    path: path ?? null,
    setup: setup ?? [],
    setupKey: setupKey ?? [],
    toolchain: toolchain ?? [],
    gates: (gates ?? []).map(({ name, command, timeout, baseline, paths }) => ({
      name,
      command,
      timeoutMs: timeout ?? gateTimeoutMs(name),
      baseline: baseline ?? 'block',
      ...(paths === undefined ? {} : { paths }),
    })),
    protectedPaths: [...new Set([...builtInProtectedPaths, ...(protectedPaths ?? [])])],
    ...(review === undefined ? {} : { review: withoutUndefined(review) }),
    ...(money?.task === undefined ? {} : { money: { taskNanoUsd: money.task } }),
  }
}

function withoutUndefined({ families, person }: { families?: number | undefined; person?: boolean | undefined }) {
  return { ...(families === undefined ? {} : { families }), ...(person === undefined ? {} : { person }) }
}

/**
 * The repository's settings as they hold under this operator: never looser than the operator's. Refuses `config-loosens`, naming the key, where
 * the repository asks for more money, fewer reviewers or less of a person than it would get without asking.
 */
export function tighten(operator: OperatorSettings, repository: RepositorySettings): RepositorySettings | Refusal {
  const { review, money } = repository
  const loosens = (key: string, why: string) =>
    refuse(
      'config-loosens',
      `tri-agent.yaml: ${key}: ${why}`,
      "a repository may only tighten; the operator's config file may do more",
    )
  const most = operator.money.taskNanoUsd
  if (money && money.taskNanoUsd > most)
    return loosens('money.task', `${showUsd(money.taskNanoUsd)} is more than the operator's ${showUsd(most)}`)
  if (review?.families !== undefined && review.families < leastReviewers)
    return loosens('review.families', `${review.families} is fewer than the ${leastReviewers} that the policy asks`)
  if (review?.person === false) return loosens('review.person', 'false cannot take away a person the policy asks')
  const long = repository.gates.find(({ timeoutMs }) => timeoutMs > operator.patience.wallMs)
  if (long)
    return loosens(
      `gates.${long.name}.timeout`,
      `is longer than the operator's patience.wall (${showDuration(operator.patience.wallMs)})`,
    )
  return {
    ...repository,
    protectedPaths: [...new Set([...builtInProtectedPaths, ...repository.protectedPaths])],
    money: { taskNanoUsd: money?.taskNanoUsd ?? most },
  }
}

/** Families beside the author's that the review policy asks where they are usable (core/review.ts). */
const leastReviewers = 2
