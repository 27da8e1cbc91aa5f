/**
 * The disk of the simulation: real files, but every call answers at once, so that nothing waits for the machine's threads and the same seed is the same
 * story. It can be full, and it is where a daemon can die: before a call and after it.
 *
 * It stands below `node:fs/promises` for the whole process, so nothing else may use that while a story is played.
 */
import fs from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import sqlite from 'node:sqlite'
import { pathToFileURL } from 'node:url'

/** What a call of the daemon's meets on its way. */
export type Way = {
  /** Resolves when the call may go on; never, where its caller is dead by then. */
  pass(what: string): Promise<void>
  isFull(): boolean
}

/** Names of `node:fs/promises` that have a twin which answers at once. */
const calls = (
  'access appendFile chmod copyFile cp link lstat lutimes mkdir mkdtemp readFile readdir readlink realpath rename rm rmdir ' +
  'stat statfs symlink unlink utimes writeFile'
).split(' ')
/** Those that need room. */
const growing = new Set(['appendFile', 'copyFile', 'cp', 'link', 'mkdir', 'symlink', 'writeFile'])

type Table = Record<string, unknown>
type Call = (...args: unknown[]) => unknown

const noRoom = (call: string) =>
  Object.assign(new Error(`ENOSPC: no space left on device, ${call}`), { code: 'ENOSPC', syscall: call })

/** Folders are listed by name: file systems have orders of their own. */
const inOrder = (answer: unknown): unknown =>
  Array.isArray(answer)
    ? answer.toSorted((a: string | fs.Dirent, b: string | fs.Dirent) => (nameOf(a) < nameOf(b) ? -1 : 1))
    : answer
const nameOf = (entry: string | fs.Dirent): string => (typeof entry === 'string' ? entry : entry.name)

type Database = typeof sqlite.DatabaseSync

/**
 * SQLite as it is, with its locks and the index of its log in the memory of this process: nobody outside of it opens a story's database, and asking the
 * system for each lock costs more than most statements do.
 */
const within = (real: Database): Database =>
  new Proxy(real, {
    construct(target, [place, ...more]: ConstructorParameters<Database>) {
      const isFile = typeof place === 'string' && place !== ':memory:'
      return new target(isFile ? new URL(`${pathToFileURL(place).href}?vfs=unix-excl`) : place, ...more)
    },
  })

/** Has every database that is opened from now on be one of this process alone, until disposed. */
export function ownDatabases(): Disposable {
  const real = sqlite.DatabaseSync
  const put = (what: Database) => {
    sqlite.DatabaseSync = what
    syncBuiltinESMExports()
  }
  put(within(real))
  return { [Symbol.dispose]: () => put(real) }
}

/** Puts the disk below `node:fs/promises` until disposed. */
export function layDisk(way: Way): Disposable {
  const there = promises as unknown as Table
  const twins = fs as unknown as Table
  const before = new Map<Table, Map<string, unknown>>([
    [there, new Map()],
    [twins, new Map()],
  ])
  const put = (table: Table, name: string, call: unknown) => {
    before.get(table)!.set(name, table[name])
    table[name] = call
  }
  for (const name of calls) {
    const twin = twins[`${name}Sync`] as Call
    put(there, name, async (...args: unknown[]) => {
      await way.pass(`${name} begins`)
      if (growing.has(name) && way.isFull()) throw noRoom(name)
      const answer = inOrder(twin(...args))
      await way.pass(`${name} ended`)
      return answer
    })
  }
  put(there, 'open', () => Promise.reject(new Error('the simulated disk opens no file handles')))
  const write = fs.writeSync as Call
  put(twins, 'writeSync', (...args: unknown[]) => {
    const isInPlace = typeof args[4] === 'number' // over what is there, which needs no room
    if (way.isFull() && !isInPlace) throw noRoom('write')
    return write(...args)
  })
  const sync = fs.fdatasyncSync
  const syncLater = async (descriptor: number, done: (error: Error | null) => void): Promise<void> => {
    sync(descriptor)
    await way.pass('fdatasync')
    done(null)
  }
  put(twins, 'fdatasync', (...[descriptor, done]: Parameters<typeof syncLater>) => void syncLater(descriptor, done))
  syncBuiltinESMExports()
  return {
    [Symbol.dispose]() {
      for (const [table, entries] of before) for (const [name, call] of entries) table[name] = call
      syncBuiltinESMExports()
    },
  }
}
