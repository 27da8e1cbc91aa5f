/**
 * `status` as programs ask for it, in a bundle of its own and without a parser of options: a start costs what it reads. It takes `--json` and nothing
 * else; whatever more is typed goes to program.ts.
 */
import { isRefusal } from '../core/refusal.ts'
import { environment } from '../host/environment.ts'
import { makeContext, type Said } from './context.ts'
import { catchBugs, complain } from './failure.ts'
import { status } from './status.ts'

const nothing: Said = { args: [], text: () => undefined, texts: () => [], flag: () => undefined }

/** Carries out `status`; answers the exit code. Never rejects. */
export async function startStatus(json: boolean): Promise<number> {
  catchBugs(json)
  try {
    const done = await status(makeContext(environment(), json), nothing)
    return isRefusal(done) ? complain(done, json) : done
  } catch (error) {
    return complain(error, json)
  }
}
