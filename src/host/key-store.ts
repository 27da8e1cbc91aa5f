/**
 * Keys that `keys set` keeps: in the operating system's keyring where it has one, else in a file of its own, 0600, in a folder beside the state that
 * backup programs leave out (CACHEDIR.TAG). A command (`--from-command`) is kept as a command and executed each time the key is needed.
 *
 *     NAME.json   { in: 'keyring' | 'file' | 'command', … }   what is known of it; the key itself only where `in` is 'file'
 *
 * Only the gateway and whoever tries a key ask for one. It never prints a key, and never puts one into an argument or a variable.
 */
import { existsSync, statSync } from 'node:fs'
import { open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { endOfKey } from '../core/key-shape.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { makeOwnFolder, type Env } from './path.ts'
import type { World } from './world.ts'

export type KeyPorts = {
  world: World
  env: Env
  /** `paths.keys`. */
  folder: string
  /** As node:os names it; default: this one. */
  system?: string
  /** Keep it in a file even where there is a keyring: a daemon outside a person's session cannot reach that. */
  inFile?: boolean
}

export type StoredKey = {
  name: string
  in: 'keyring' | 'file' | 'command'
  /** How the key ends; for a command, how it ended when it was set. */
  ends: string
  /** Epoch milliseconds. */
  setAt: number
  /** For `command`. */
  command?: string
  /** After a rotation: until when the key before it is used where a provider does not know this one yet, epoch milliseconds. */
  beforeUntil?: number
}

type Row = Omit<StoredKey, 'name'> & { key?: string; before?: string }

export const keyName = /^[a-z][a-z0-9-]{0,30}$/

/** Loaded when asked for: settings are read by many who never touch a key. */
const keyringOf = async ({ world, env, system }: KeyPorts) =>
  (await import('./keyring.ts')).findKeyring(world, env, system)

const fileOf = (folder: string, name: string): string => join(folder, `${name}.json`)

/** Whether a key is kept under this name. Looks, and reads nothing. */
export const isStored = (folder: string | null, name: string): boolean =>
  folder !== null && keyName.test(name) && existsSync(fileOf(folder, name))

/** Changes whenever what is kept under the name does; null: nothing is. Looks, and reads nothing. */
export function stampOfStored(folder: string, name: string): string | null {
  const found = statSync(fileOf(folder, name), { throwIfNoEntry: false })
  return found ? `${found.ino} ${found.mtimeMs} ${found.size}` : null
}

/** What is kept, without the keys, by name. */
export async function listStored(folder: string): Promise<(StoredKey | (Refusal & { name: string }))[]> {
  const files = await readdir(folder).catch(() => []) // no folder: nothing was ever set
  const names = files
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .filter((name) => keyName.test(name))
  const rows = names.toSorted().map(async (name) => {
    const row = await readRow(folder, name)
    if (isRefusal(row)) return { ...row, name }
    return { name, ...known(row) }
  })
  return Promise.all(rows)
}

/** Keeps a key, or the command that tells it, in the place of what was kept under the name. Refuses what `readStored` would for a command. */
export async function store(
  ports: KeyPorts,
  name: string,
  given: { key: string } | { command: string },
): Promise<StoredKey | Refusal> {
  const { world, folder } = ports
  await makeOwnFolder(folder)
  await writeFile(join(folder, 'CACHEDIR.TAG'), tag, { mode: 0o600 })
  const setAt = world.clock.now()
  const keyring = await keyringOf(ports)
  if ('command' in given) {
    const told = await tell(ports, given.command)
    if (isRefusal(told)) return told
    await keyring?.remove(name) // what was kept under this name before is not left behind
    return write(folder, name, { in: 'command', ends: endOfKey(told.key), setAt, command: given.command })
  }
  const { key } = given
  const isInKeyring = keyring !== null && ports.inFile !== true && (await keyring.put(name, key))
  if (!isInKeyring) await keyring?.remove(name)
  const row: Row = { in: isInKeyring ? 'keyring' : 'file', ends: endOfKey(key), setAt }
  return write(folder, name, isInKeyring ? row : { ...row, key })
}

/** What backup programs know a folder by that they leave out: bford.info/cachedir. */
const tag = 'Signature: 8a477f597d28d172789f06886806bc55\n# Keys of tri-agent. They do not belong into a backup.\n'

async function write(folder: string, name: string, row: Row): Promise<StoredKey> {
  const file = fileOf(folder, name)
  await rm(`${file}.new`, { force: true })
  await writeFile(`${file}.new`, `${JSON.stringify(row, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  await rename(`${file}.new`, file)
  return { name, ...known(row) }
}

const known = ({ key: _, before: __, ...rest }: Row): Omit<StoredKey, 'name'> => rest

/** Under which the keyring keeps the key before a rotation. */
const beforeName = (name: string): string => `${name}--before`

/**
 * Keeps a key in the place of another, which stays for `overlapMs`: a provider may take a while to know a new one. Refuses `key-missing` where there is
 * none yet, `key-same` (the one before it would be lost), and `key-command`: a command tells whatever key there is.
 */
export async function rotate(
  ports: KeyPorts,
  name: string,
  key: string,
  overlapMs: number,
): Promise<StoredKey | Refusal> {
  const row = await readRow(ports.folder, name)
  if (isRefusal(row)) return row
  if (row.in === 'command')
    return refuse('key-command', `the key of ${name} is told by a command`, 'rotate it where that command looks')
  const old = await readStored(ports, name)
  if (isRefusal(old)) return old
  if (old.key === key) return refuse('key-same', `that is the key of ${name} already`, 'tri-agent keys list')
  const kept = await store(ports, name, { key })
  if (isRefusal(kept)) return kept
  const beforeUntil = ports.world.clock.now() + overlapMs
  const now = (await readRow(ports.folder, name)) as Row
  const keyring = await keyringOf(ports)
  const isInKeyring = row.in === 'keyring' && keyring !== null && (await keyring.put(beforeName(name), old.key))
  return write(ports.folder, name, { ...now, beforeUntil, ...(isInKeyring ? {} : { before: old.key }) })
}

/** The key before a rotation and until when it may be used, or null. */
export async function readBefore(ports: KeyPorts, name: string): Promise<{ key: string; until: number } | null> {
  const row = await readRow(ports.folder, name)
  if (isRefusal(row) || row.beforeUntil === undefined) return null
  const key = row.before ?? (await (await keyringOf(ports))?.get(beforeName(name)))
  return key ? { key, until: row.beforeUntil } : null
}

/** Forgets the key before a rotation at once. Refuses `key-missing` where there is none. */
export async function endOverlap(ports: KeyPorts, name: string): Promise<StoredKey | Refusal> {
  const row = await readRow(ports.folder, name)
  if (isRefusal(row)) return row
  if (row.beforeUntil === undefined)
    return refuse(
      'key-missing',
      `no earlier key of ${name} is kept`,
      `tri-agent keys remove ${name}   # the key itself`,
    )
  const { before: _, beforeUntil: __, ...rest } = row
  await (await keyringOf(ports))?.remove(beforeName(name))
  return write(ports.folder, name, rest)
}

/** Forgets a key. Refuses `key-missing`. */
export async function removeStored(ports: KeyPorts, name: string): Promise<StoredKey['in'] | Refusal> {
  const row = await readRow(ports.folder, name)
  if (isRefusal(row)) return row
  await rm(fileOf(ports.folder, name))
  const keyring = row.in === 'keyring' || row.beforeUntil !== undefined ? await keyringOf(ports) : null
  if (row.in === 'keyring') await keyring?.remove(name)
  if (row.beforeUntil !== undefined) await keyring?.remove(beforeName(name))
  return row.in
}

/** The key kept under a name, for the gateway alone. Refuses `key-missing`, `config-unsafe`, `key-command`. */
export async function readStored(ports: KeyPorts, name: string): Promise<{ key: string } | Refusal> {
  const row = await readRow(ports.folder, name)
  if (isRefusal(row)) return row
  if (row.in === 'command') return tell(ports, row.command ?? '')
  const key = row.in === 'file' ? row.key : await (await keyringOf(ports))?.get(name)
  if (key) return { key }
  return row.in === 'file'
    ? refuse('key-missing', `${fileOf(ports.folder, name)} holds no key`, `tri-agent keys set ${name}`)
    : refuse(
        'key-missing',
        `the keyring does not give out the key of ${name}: it is locked, or cannot be reached from here`,
        `unlock it, or keep the key in a file: tri-agent keys set ${name} --in-file`,
      )
}

async function readRow(folder: string, name: string): Promise<Row | Refusal> {
  const file = fileOf(folder, name)
  const missing = refuse('key-missing', `no key is stored for ${name}`, `tri-agent keys set ${name}`)
  if (!isStored(folder, name)) return missing
  const handle = await open(file, 'r').catch(() => null)
  if (handle === null) return refuse('key-missing', `${file} cannot be read`, `ls -l ${file}`)
  try {
    if (((await handle.stat()).mode & 0o077) !== 0)
      return refuse('config-unsafe', `${file} can be read by others`, `chmod 600 ${file}`)
    const row = JSON.parse(await handle.readFile('utf8')) as Row
    return ['keyring', 'file', 'command'].includes(row.in) ? row : missing
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return refuse('key-missing', `${file} is damaged`, `tri-agent keys set ${name}`)
  } finally {
    await handle.close()
  }
}

/** A password manager may ask its owner for a finger. Milliseconds. */
const commandMs = 60_000
const mostBytes = 64 * 1024

/** Executes a command that prints a key. It is the operator's own, so it has their whole environment. */
async function tell({ world, env }: KeyPorts, command: string): Promise<{ key: string } | Refusal> {
  const whole = Object.fromEntries(
    Object.entries(env).filter((each): each is [string, string] => each[1] !== undefined),
  )
  const spec = { file: '/bin/sh', args: ['-c', command], cwd: '/', env: whole }
  const { captureWithin } = await import('./keyring.ts')
  const done = await captureWithin(world, spec, commandMs, mostBytes)
  const key = done.stdout.trim()
  if (done.code === 0 && /^[\x21-\x7e]+$/.test(key)) return { key }
  const why =
    done.code !== 0
      ? `ended with ${done.code === null ? `signal ${done.signal}` : `exit ${done.code}`}`
      : key === ''
        ? 'printed nothing'
        : 'printed more than one word'
  return refuse('key-command', `the command that tells the key ${why}: ${command}`, 'type it yourself to see why')
}
