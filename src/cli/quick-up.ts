/**
 * `up` in the foreground, as people and service managers start it, in a bundle of its own and without a parser of options: a daemon is some eighty
 * files otherwise, and finding them takes Node longer than reading them. What else may be typed goes to program.ts.
 */
import { isRefusal } from '../core/refusal.ts'
import { environment } from '../host/environment.ts'
import { makeContext, type Said } from './context.ts'
import { catchBugs, complain } from './failure.ts'
import { up } from './up.ts'

/** Carries out `up`; answers the exit code. Never rejects. */
export async function startUp(words: readonly string[]): Promise<number> {
  const json = words.includes('--json')
  catchBugs(json)
  const said: Said = {
    args: [],
    text: (option) => (words.includes(`--${option}`) ? words[words.lastIndexOf(`--${option}`) + 1] : undefined),
    texts: () => [],
    flag: (option) => (words.includes(`--${option}`) ? true : undefined),
  }
  try {
    const done = await up(makeContext(environment(), json), said)
    return isRefusal(done) ? complain(done, json) : done
  } catch (error) {
    return complain(error, json)
  }
}
