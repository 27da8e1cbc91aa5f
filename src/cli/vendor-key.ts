/**
 * keys: keeps the providers' keys where agents, logs and backups never see them; says which there are and what uses them, never what they are.
 * A key is typed at a hidden prompt or taken from a variable, a file or a command. It is never an argument: those stay in a shell's history.
 */
import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { examineKey, looksLikeKey } from '../core/key-shape.ts'
import { nearest } from '../core/nearest.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { vendors, type KeySource, type OperatorSettings } from '../core/setting.ts'
import {
  endOverlap,
  keyName,
  listStored,
  removeStored,
  rotate,
  store,
  type KeyPorts,
  type StoredKey,
} from '../host/key-store.ts'
import { answer, type Act, type Context, type Said } from './context.ts'
import { age, table } from './format.ts'

export const keys: Act = (context, said) => {
  const [what] = said.args
  switch (what) {
    case 'set':
    case 'rotate':
      return set(context, said, what)
    case 'revoke':
      return revoke(context, said)
    case 'remove':
      return remove(context, said)
    default:
      return list(context)
  }
}

/** How long the key before a rotation is used where the provider does not know the new one. */
const overlapMs = 24 * 3_600_000

const portsOf = ({ world, env, paths }: Context): KeyPorts => ({ world, env, folder: paths.keys })

function nameIn(said: Said, what: string): string | Refusal {
  const name = said.args[1]
  const known = Object.keys(vendors)
  if (name === undefined)
    return refuse(
      'whose-key',
      `say whose key: ${known.join(', ')}, or another family's name`,
      `tri-agent keys ${what} ${known[0]}`,
    )
  if (looksLikeKey(name))
    return refuse(
      'key-typed',
      'a key is never typed into a command: it stays in the history of your shell',
      'type: tri-agent keys set anthropic (or openai, google) and paste it when asked; then remove it from the history',
    )
  if (keyName.test(name)) return name
  return refuse('bad-name', `${JSON.stringify(name)} is no name of a family`, 'small letters, digits and - only')
}

async function set(context: Context, said: Said, what: 'set' | 'rotate'): Promise<number | Refusal> {
  const name = nameIn(said, what)
  if (isRefusal(name)) return name
  const isForced = said.flag('force') === true
  const near = vendors[name] ? null : nearest(name, Object.keys(vendors))
  if (near && !isForced)
    return refuse(
      'unknown-family',
      `did you mean ${near}?`,
      `tri-agent keys set ${near}; or, if ${name} is right: --force`,
    )
  const given = await take(context, said, name)
  if (isRefusal(given)) return given
  const unfit = 'key' in given ? examineKey(name, given.key) : null
  if (unfit && !(isForced && unfit.refused === 'key-of-other')) return unfit
  const ports = { ...portsOf(context), inFile: said.flag('in-file') === true }
  if (what === 'rotate' && !('key' in given))
    return refuse('key-command', 'a command tells whatever key there is', `tri-agent keys set ${name} --from-command …`)
  const kept =
    'key' in given && what === 'rotate'
      ? await rotate(ports, name, given.key, overlapMs)
      : await store(ports, name, given)
  if (isRefusal(kept)) return kept
  const variable = vendors[name]?.keyVariables.find((each) => context.env[each])
  const notes = [
    ...(variable ? [`${variable} is set here and wins over it.`] : []),
    ...(kept.beforeUntil === undefined
      ? []
      : [
          `For 24 hours the key before is used where ${name} does not know this one: tri-agent keys revoke ${name} ends that.`,
        ]),
    'A daemon that is up and has had a key of this family uses it within seconds; a family it started without needs tri-agent down, then up.',
  ]
  return answer(
    context,
    { key: shown(kept), notes },
    [
      `${name}: kept ${where(kept, context)}.`,
      ...notes,
      `Next: tri-agent doctor --live   # asks ${name} whether it is valid`,
    ].join('\n'),
  )
}

const where = (kept: StoredKey, { paths }: Context): string =>
  kept.in === 'keyring'
    ? "in your system's keyring"
    : kept.in === 'file'
      ? `in ${paths.keys}/${kept.name}.json, which only you can read and backups leave out`
      : 'as a command, executed each time the key is needed'

/** The key or the command, from exactly one place. */
async function take(
  context: Context,
  said: Said,
  name: string,
): Promise<{ key: string } | { command: string } | Refusal> {
  const [variable, file, command] = ['from-env', 'from-file', 'from-command'].map((option) => said.text(option))
  if ([variable, file, command].filter((each) => each !== undefined).length > 1)
    return refuse('too-many-sources', 'say one of --from-env, --from-file, --from-command', 'tri-agent keys --help')
  if (command !== undefined) return { command }
  if (variable !== undefined) {
    const key = (context.env[variable] ?? '').trim()
    return key === '' ? refuse('key-missing', `${variable} is not set`, `export ${variable}=…`) : { key }
  }
  if (file !== undefined) return readGiven(context, file)
  if (!process.stdin.isTTY)
    return refuse(
      'no-terminal',
      'there is no terminal to ask at',
      `tri-agent keys set ${name} --from-env VAR, --from-file FILE (- for stdin) or --from-command "…"`,
    )
  const { askHidden } = await import('./hidden.ts')
  const typed = await askHidden(process.stdin, context.note, `Key of ${name} (not shown): `)
  return typed === null ? refuse('nothing-set', 'nothing was set') : { key: typed.trim() }
}

/** No key is longer. */
const largestFile = 64 * 1024

async function readGiven({ cwd, note }: Context, name: string): Promise<{ key: string } | Refusal> {
  if (name === '-') {
    const chunks: Buffer[] = []
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk)
    return { key: Buffer.concat(chunks).toString('utf8').trim() }
  }
  try {
    const { mode, size } = await stat(resolve(cwd, name))
    if (size > largestFile) return refuse('key-unfit', `${name} is too large to be a key`)
    if ((mode & 0o077) !== 0) note(`Others can read ${name}: remove it, or chmod 600 ${name}\n`)
    return { key: (await readFile(resolve(cwd, name), 'utf8')).trim() }
  } catch (error) {
    return refuse('key-missing', `${name} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

const shown = ({ name, in: place, ends, setAt, command, beforeUntil }: StoredKey) => ({
  name,
  in: place,
  ends,
  setAt,
  ...(command === undefined ? {} : { command }),
  ...(beforeUntil === undefined ? {} : { beforeUntil }),
})

async function revoke(context: Context, said: Said): Promise<number | Refusal> {
  const name = nameIn(said, 'revoke')
  if (isRefusal(name)) return name
  const kept = await endOverlap(portsOf(context), name)
  if (isRefusal(kept)) return kept
  return answer(
    context,
    { key: shown(kept) },
    `${name}: the key before the rotation is gone from here, within seconds from a daemon that is up too. Revoke it at its provider now.`,
  )
}

async function remove(context: Context, said: Said): Promise<number | Refusal> {
  const name = nameIn(said, 'remove')
  if (isRefusal(name)) return name
  const place = await removeStored(portsOf(context), name)
  if (isRefusal(place)) return place
  return answer(
    context,
    { removed: name, in: place },
    `${name}: removed from here; it is still valid at its provider until you revoke it there. A daemon that is up stops using it within seconds.`,
  )
}

type Line = {
  name: string
  in: string
  ends: string
  setAt: number | null
  usedBy: { agent: string; models: string[] } | null
  why: string | null
}

async function list(context: Context): Promise<number | Refusal> {
  const families = await familiesNow(context)
  const stored = await listStored(context.paths.keys)
  const usedBy = (name: string, isUsed: (source: KeySource) => boolean): Line['usedBy'] => {
    const family = families[name]
    if (!family || !isUsed(family.keyFrom)) return null
    return { agent: family.agent, models: [...new Set(Object.values(family.models))] }
  }
  const ofVariables = Object.entries(vendors).flatMap(([name, { keyVariables }]) =>
    keyVariables
      .filter((variable) => context.env[variable])
      .map((variable): Line => {
        const used = usedBy(name, (source) => 'env' in source && source.env === variable)
        return { name, in: `env ${variable}`, ends: '', setAt: null, usedBy: used, why: used ? null : 'not configured' }
      }),
  )
  const ofStored = stored.map((row): Line => {
    if (isRefusal(row)) return { name: row.name, in: 'unusable', ends: '', setAt: null, usedBy: null, why: row.why }
    const used = Object.keys(families)
      .map((family) => usedBy(family, (source) => 'stored' in source && source.stored === row.name))
      .find((each) => each !== null)
    const shadow = ofVariables.find(({ name, usedBy: by }) => name === row.name && by !== null)
    const why = used
      ? null
      : shadow
        ? `${shadow.in} wins`
        : families[row.name]
          ? 'keyFrom says another'
          : 'not configured'
    const { name, in: place, ends, setAt } = row
    return { name, in: place, ends, setAt, usedBy: used ?? null, why }
  })
  const lines = [...ofStored, ...ofVariables].toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  return answer(context, { folder: context.paths.keys, keys: lines }, asText(context, lines))
}

function asText({ world, columns }: Context, lines: readonly Line[]): string {
  if (lines.length === 0)
    return 'No key is kept, and no variable of a known vendor is set.\nNext: tri-agent keys set anthropic'
  const now = world.clock.now()
  const rows = lines.map(({ name, in: place, ends, setAt, usedBy, why }) => [
    name,
    place,
    ends,
    setAt === null ? '' : age(now - setAt),
    usedBy ? `${usedBy.agent}: ${usedBy.models.join(', ')}` : (why ?? ''),
  ])
  return table(['key of', 'kept in', 'ends', 'age', 'used for'], rows, columns)
}

/** The families as configured; none where the settings cannot be read, which `doctor` says. */
async function familiesNow({ paths, env }: Context): Promise<OperatorSettings['families']> {
  const { loadConfig } = await import('../host/config.ts')
  const loaded = await loadConfig({ file: paths.configFile, env })
  return isRefusal(loaded) ? {} : loaded.settings.families
}
