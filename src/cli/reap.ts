/** reap: what is left on this machine and belongs to nobody. clean: that, and what is kept for convenience alone. Both say first what they would do. */
import { isRefusal, refuse } from '../core/refusal.ts'
import { plural } from '../core/quantity.ts'
import type { Database } from '../store/database.ts'
import { answer, commandPorts, withDatabase, type Act, type Context } from './context.ts'
import { exitCode } from './exit-code.ts'
import { bytesText, table } from './format.ts'

export const reap: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const { findLeftovers, reapByHand } = await import('../daemon/reap-by-hand.ts')
    const ports = portsOf(context, database)
    const found = await findLeftovers(ports)
    if (isRefusal(found)) return found
    if (said.flag('dry-run') === true || found.length === 0)
      return tellFound(context, found, 'Nothing is left over.', 'They are removed by: tri-agent reap')
    return remove(context, found, (each) => reapByHand(ports, each))
  })

export const clean: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const { findSpare, reapByHand } = await import('../daemon/reap-by-hand.ts')
    const ports = portsOf(context, database)
    const found = await findSpare(ports)
    if (isRefusal(found)) return found
    const sure = said.flag('yes') === true
    if (found.length === 0) return tellFound(context, found, 'There is nothing to remove.', '')
    if (sure) return remove(context, found, (each) => reapByHand(ports, each))
    if (context.json || !context.isTerminal || !process.stdin.isTTY)
      return tellFound(context, found, '', 'Nothing was removed. To remove all of it: tri-agent clean --yes')
    context.out(`${listing(found, context.columns)}\n`)
    const { agrees } = await import('./init-ask.ts')
    if (!(await agrees(`Remove all of it, ${bytesText(sizeOf(found))}?`)))
      return refuse('left', 'nothing was removed', 'tri-agent clean --yes')
    const now = await findSpare(ports) // a daemon may have started, or taken something, while the person read
    if (isRefusal(now)) return now
    const agreed = new Set(found.map(keyOf))
    return remove(
      context,
      now.filter((each) => agreed.has(keyOf(each))),
      (each) => reapByHand(ports, each),
    )
  })

const keyOf = ({ kind, name, path }: Leftover): string => `${kind} ${path ?? name}`

const portsOf = (context: Context, database: Database) => {
  const { actor } = commandPorts(context, database)
  const { world, env, paths } = context
  return { world, env, paths, database, actor }
}

type Leftover = { kind: string; name: string; why: string; path: string | null; bytes: number }

const sizeOf = (found: readonly Leftover[]): number => found.reduce((sum, { bytes }) => sum + bytes, 0)

const plain = ({ kind, name, why, bytes }: Leftover) => ({ kind, name, why, bytes })

function tellFound(context: Context, found: readonly Leftover[], none: string, next: string): number {
  const text = found.length === 0 ? none : `${listing(found, context.columns)}\n${next}`
  return answer(context, { found: found.map(plain), bytes: sizeOf(found), removed: [] }, text)
}

/** Does it and says what is gone; 75 where something would not go. */
async function remove<T extends Leftover>(
  context: Context,
  found: readonly T[],
  take: (found: readonly T[]) => Promise<T[]>,
): Promise<number> {
  const removed = await take(found)
  const stuck = found.filter((each) => !removed.includes(each))
  const text = [
    ...(removed.length > 0 ? [listing(removed, context.columns), 'Removed.'] : []),
    ...stuck.map(({ kind, name, path }) => `Not removed: ${kind} ${path ?? name}. Try again, or as whoever owns it.`),
  ]
  answer(context, { found: found.map(plain), bytes: sizeOf(removed), removed: removed.map(plain) }, text.join('\n'))
  return stuck.length === 0 ? exitCode.done : exitCode.tryAgain
}

const totalOf = (found: readonly Leftover[]): string =>
  `${plural(found.length, 'leftover')}, ${bytesText(sizeOf(found))}`

function listing(found: readonly Leftover[], columns: number): string {
  const rows = found.map(({ kind, name, why, bytes }) => [kind, bytes === 0 ? '' : bytesText(bytes), name, why])
  return `${table(['what', 'size', 'name', 'why'], rows, columns)}\n${totalOf(found)}.`
}
