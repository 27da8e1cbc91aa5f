/**
 * adopt: a person goes on with another key for the log's seals, because the one it was sealed with is lost. What stands before can be proven by nobody
 * after that; it is named by its hash, so that from then on it stays what it was found as. It looks at what the keys do not prove, and mends nothing.
 */
import type { LogAdopted } from '../core/event.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import { append } from '../store/append.ts'
import { keyIdOf, lastSeal, nameOfLog } from '../store/seal.ts'
import { firstDamage, sealKeys, tellDamage, unprovenIn } from '../store/verify-log.ts'
import type { CommandPorts } from './ports.ts'

/** What the keys that are here cannot prove: how many events, sealed with which keys. Null where they prove all of it. */
export const askUnproven = ({ database }: Pick<CommandPorts, 'database'>): Promise<Unproven | null> =>
  database.read((reader) => unprovenIn(reader, database.sealKey && keyIdOf(database.sealKey)))

export type Unproven = { events: number; last: number; keys: string[] }

/** The key beside the database takes over. Refuses `nothing-to-adopt`, and `log-damaged` for a log that is wrong whatever the key. */
export async function adoptLog({ database, world, actor }: CommandPorts): Promise<LogAdopted | Refusal> {
  const key = database.sealKey!
  return database.write(async (tx) => {
    const id = keyIdOf(key)
    const [seal, keys] = [await lastSeal(tx), await sealKeys(tx, id)]
    if (!seal || (await unprovenIn(tx, id)) === null)
      return refuse(
        'nothing-to-adopt',
        `all of the log is sealed with the key that is here (${id})`,
        'tri-agent log verify',
      )
    const damage = await firstDamage(tx, key, null)
    if (damage)
      return refuse(
        'log-damaged',
        `whatever the key, the log is not what was written: ${tellDamage(damage)}`,
        'tri-agent backup list, then: tri-agent restore FILE --adopt',
      )
    const event: LogAdopted = {
      type: 'log.adopted',
      key: id,
      before: [...keys].filter((each) => each !== id),
      last: seal.last_seq,
      sha256: await nameOfLog(tx, seal.last_seq),
    }
    await append(tx, { at: world.clock.now(), actor, stream: 'daemon/main', events: [event] })
    return event
  })
}
