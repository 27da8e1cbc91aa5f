/** What every verb is given, and the three ways it speaks: an answer on stdout, a note on stderr, a refusal with what to type next. */
import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { CommandPorts } from '../command/ports.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { accountName } from '../host/environment.ts'
import { isFault } from '../host/fault.ts'
import { findPaths, type Env, type Paths } from '../host/path.ts'
import { realWorld, type World } from '../host/world.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { exitCode } from './exit-code.ts'
import { clean } from './format.ts'
import { err, out, say, terminalOf } from './say.ts'

export type Context = {
  env: Env
  cwd: string
  paths: Paths
  world: World
  json: boolean
  /** The answer, to stdout, cleaned of control characters: much of it was written by agents. */
  out(text: string): void
  /** To stdout as it is: for what moves the cursor itself and cleans what it shows. */
  draw(text: string): void
  /** Progress and remarks, to stderr, so that the answer stays clean. */
  note(text: string): void
  isTerminal: boolean
  /** Width of the terminal; where there is none, lines are not fitted and this is Infinity. */
  columns: number
}

/** What was typed after the verb. */
export type Said = {
  args: readonly string[]
  text(option: string): string | undefined
  texts(option: string): string[]
  /** Undefined where it was not said. */
  flag(option: string): boolean | undefined
}

/** A verb: answers the exit code, or a refusal. */
export type Act = (context: Context, said: Said) => Promise<number | Refusal>

export function makeContext(env: Env, json: boolean): Context {
  const terminal = terminalOf(out)
  return {
    env,
    cwd: process.cwd(),
    paths: findPaths(env),
    world: realWorld(),
    json,
    out: (text) => say(out, clean(text)),
    draw: (text) => say(out, text),
    note: (text) => say(err, clean(text)),
    isTerminal: terminal !== null,
    columns: terminal ? terminal.columns || 80 : Number.POSITIVE_INFINITY,
  }
}

/** The answer: one JSON value with `--json`, else the text. */
export function answer({ json, out }: Context, value: object, text: string): number {
  out(json ? `${JSON.stringify(value, null, 2)}\n` : text.endsWith('\n') || text === '' ? text : `${text}\n`)
  return exitCode.done
}

/** Opens the database for `body` and closes it after. Refuses `not-initialised` where there is none: looking never makes one. */
export async function withDatabase<T>(
  context: Context,
  body: (database: Database) => Promise<T>,
): Promise<T | Refusal> {
  const { database: path } = context.paths
  if (!existsSync(path))
    return existsSync(`${path}.key`)
      ? refuse(
          'database-gone',
          `${path} is gone, and the key of its log is left of it`,
          'put it back, or: tri-agent restore latest; to begin anew: tri-agent init',
        )
      : refuse(
          'not-initialised',
          `nothing is set up for this account yet (no ${path})`,
          'tri-agent init, in your repository',
        )
  const database = openOrLook(context, path)
  try {
    return await body(database)
  } finally {
    database.close()
  }
}

/** Where the disk takes nothing, what only looks still answers; whatever wants to write is refused when it does. */
function openOrLook({ note }: Context, path: string): Database {
  try {
    return openDatabase(path)
  } catch (error) {
    const isOnDisk =
      isFault(error, 'database-unopened') || isFault(error, 'database-read-only') || isFault(error, 'disk-full')
    if (!isOnDisk || (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) throw error
    const database = openDatabase(path, { readOnly: true, immutable: true })
    if (!database.isCurrent) {
      database.close()
      throw error // to be made to its end or brought up to date it must be written
    }
    note(`Only looking: ${error.message}\n`)
    return database
  }
}

/** What commands are given: this database, this world, and who is asking. */
export const commandPorts = ({ world }: Context, database: Database): CommandPorts => ({
  database,
  world,
  actor: `person:${accountName()}`,
})

/** The context with the variables of `--env-file` in its environment, where one was said; remarks on it go to stderr. */
export async function withEnvFile(context: Context, said: Said): Promise<Context | Refusal> {
  const file = said.text('env-file')
  if (file === undefined) return context
  const { layEnvFile } = await import('../host/env-file.ts')
  const laid = await layEnvFile(resolve(context.cwd, file), context.env)
  if (isRefusal(laid)) return laid
  for (const note of laid.notes) context.note(`${note}\n`)
  return { ...context, env: laid.env }
}
