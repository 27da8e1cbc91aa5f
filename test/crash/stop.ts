/**
 * Loaded before a program of ours (`node --import`): ends that process with SIGKILL at one point of its life. The program itself is the shipped
 * one, unchanged: what is watched is its door to SQLite. Where to stop comes in the query of this file's own URL.
 */
import { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Stop } from './point.ts'

const stop = JSON.parse(new URL(import.meta.url).searchParams.get('stop') ?? 'null') as Stop
const die = () => process.kill(process.pid, 'SIGKILL')

/** The commit of a transaction that did what is looked for is the point; `seen` counts such transactions. */
function watchCommits({ sql, among, when, nth }: Extract<Stop, { sql: string }>): void {
  let isIn = false
  let seen = 0
  const texts = new WeakMap<StatementSync, string>()
  const { exec, prepare } = DatabaseSync.prototype
  const commits = (text: string, go: () => unknown): unknown => {
    if (text.startsWith('begin')) isIn = false
    if (text !== 'commit' || !isIn) return go()
    isIn = false
    seen += 1
    if (seen === nth && when === 'before') die()
    const answer = go()
    if (seen === nth) die()
    return answer
  }
  DatabaseSync.prototype.exec = function (text) {
    commits(text, () => exec.call(this, text))
  }
  DatabaseSync.prototype.prepare = function (text, options) {
    const statement = prepare.call(this, text, options)
    texts.set(statement, text)
    return statement
  }
  for (const name of ['run', 'get', 'all'] as const) {
    const original = StatementSync.prototype[name] as (...args: unknown[]) => unknown
    const watched = function (this: StatementSync, ...args: unknown[]): unknown {
      const text = texts.get(this) ?? ''
      return commits(text, () => {
        const answer = original.apply(this, args)
        if (text.includes(sql) && (among === undefined || args.includes(among))) isIn = true
        return answer
      })
    }
    Object.assign(StatementSync.prototype, { [name]: watched })
  }
}

function watchWords(says: string): void {
  const { exec } = DatabaseSync.prototype
  DatabaseSync.prototype.exec = function (text) {
    if (text.includes(says)) die()
    exec.call(this, text)
  }
}

if ('afterMs' in stop) setTimeout(die, stop.afterMs).unref()
else if ('says' in stop) watchWords(stop.says)
else watchCommits(stop)
