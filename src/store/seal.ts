/**
 * The seal over the log: one HMAC per commit that appended events, chained, with a key that lies outside the database.
 *
 *     seal n: mac(key, mac of n-1, first seq, last seq, every byte of the events between)
 *
 * Whoever has the database but not the key can change, remove, add or reorder nothing unseen. Whoever puts an older copy of the whole database
 * back is seen by the anchors (anchor.ts). It never mends anything, and what it seals is what this program appended, never what it found there.
 */
import { createHash, createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { Fault } from '../host/fault.ts'
import type { Reader, Tx } from './database.ts'

export type LogRow = {
  seq: number
  at: number
  stream: string
  version: number
  type: string
  actor: string
  body: string
}
export type Seal = { last_seq: number; first_seq: number; key_id: string; previous: string; mac: string }

/** What stands before the first seal: an empty log, or one that was there before there were seals. */
export const firstLink = { begun: 'begun', adopted: 'adopted' } as const

export const keyIdOf = (key: Buffer): string => createHash('sha256').update(key).digest('hex').slice(0, 16)

/** A key as it is used: made once, for Node takes longer to take bytes for a key than a small commit takes to be sealed. */
export type SealKey = { id: string; secret: KeyObject }

export const sealKeyOf = (key: Buffer): SealKey => ({ id: keyIdOf(key), secret: createSecretKey(key) })

/** An HMAC that is fed event by event, so that a long log need not lie in memory. */
export function macFrom({ secret }: SealKey, seal: Omit<Seal, 'mac' | 'key_id'>) {
  const hmac = createHmac('sha256', secret).update(`${seal.previous} ${seal.first_seq} ${seal.last_seq}\n`)
  return {
    add: (rows: readonly LogRow[]) => void hmac.update(rows.map(bytesOf).join('')),
    end: () => hmac.digest('hex'),
  }
}

/** Lengths first, so that no two events read the same. */
const bytesOf = ({ seq, at, stream, version, type, actor, body }: LogRow): string =>
  `${seq} ${at} ${version} ${stream.length} ${type.length} ${actor.length} ${body.length}\n${stream}${type}${actor}${body}\n`

/** Seals what one commit appended, in that commit. Faults: `log-shortened` when events that were sealed are gone. */
export async function sealAppended(
  tx: Pick<Tx, 'get' | 'run' | 'known'>,
  key: SealKey,
  rows: readonly LogRow[],
): Promise<Seal> {
  const before = tx.known.seal ?? (await lastSeal(tx))
  const first_seq = rows[0]!.seq
  const last_seq = rows.at(-1)!.seq
  if (before && before.last_seq >= first_seq)
    throw new Fault('log-shortened', `events up to ${first_seq} of ${before.last_seq} are there: some were deleted`, {
      hint: 'tri-agent log verify says where; nothing is appended to a log that lost events',
    })
  const previous = before?.mac ?? firstLink.begun
  const mac = macFrom(key, { previous, first_seq, last_seq })
  mac.add(rows)
  const seal = { last_seq, first_seq, key_id: key.id, previous, mac: mac.end() }
  await tx.run(insertSeal, seal)
  tx.known.seal = seal
  return seal
}

export const insertSeal =
  'insert into seal (last_seq, first_seq, key_id, previous, mac) values (:last_seq, :first_seq, :key_id, :previous, :mac)'

export const lastSeal = (reader: Pick<Reader, 'get'>): Promise<Seal | undefined> =>
  reader.get<Seal>('select * from seal order by last_seq desc limit 1')

/** One seal over a log that was there before there were seals: what happened to it until then nobody can say. Rows in order. */
export function adoptedSeal(key: SealKey, last_seq: number, rows: Iterable<LogRow>): Seal {
  const seal = { previous: firstLink.adopted, first_seq: 1, last_seq }
  const mac = macFrom(key, seal)
  for (const row of rows) mac.add([row])
  return { ...seal, key_id: key.id, mac: mac.end() }
}

const pageSize = 1000

/** The events after one and up to another, at most a page of them. */
export const logPage = (reader: Pick<Reader, 'all'>, after: number, last: number): Promise<LogRow[]> =>
  reader.all<LogRow>(
    `select seq, at, stream, version, type, actor, body from event
     where seq > :after and seq <= :last order by seq limit ${pageSize}`,
    { after, last },
  )
