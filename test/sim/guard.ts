/**
 * While a story is played nothing may ask this machine for the time or for chance: whoever does ends the story with its own name in the stack. A
 * story that could not be told again would prove nothing.
 */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

type Table = Record<string, unknown>

/** What of each is forbidden. `setImmediate` is not: it lets promises settle and says nothing about time. */
const forbidden: [Table, string[]][] = [
  [globalThis as unknown as Table, ['setTimeout', 'setInterval', 'fetch']],
  [Date as unknown as Table, ['now']],
  [Math as unknown as Table, ['random']],
  [performance as unknown as Table, ['now']],
  [crypto as unknown as Table, ['randomBytes', 'randomUUID', 'randomInt', 'randomFillSync']],
]

/** Forbids them until disposed. `caught` hears of each, because whoever asked may swallow what is thrown. */
export function guard(caught: (error: Error) => void): Disposable {
  const before: (() => void)[] = []
  for (const [table, names] of forbidden)
    for (const name of names) {
      const own = Object.getOwnPropertyDescriptor(table, name)
      table[name] = () => {
        const error = new Error(`${name} was asked of this machine while a story was played`)
        caught(error)
        throw error
      }
      before.push(() => (own ? Object.defineProperty(table, name, own) : delete table[name]))
    }
  const date = globalThis.Date
  globalThis.Date = new Proxy(date, {
    construct(target, args: unknown[]) {
      if (args.length > 0) return Reflect.construct(target, args) as object
      const error = new Error('new Date() was asked of this machine while a story was played')
      caught(error)
      throw error
    },
  })
  before.push(() => (globalThis.Date = date))
  syncBuiltinESMExports()
  return {
    [Symbol.dispose]() {
      for (const undo of before.toReversed()) undo()
      syncBuiltinESMExports()
    },
  }
}
