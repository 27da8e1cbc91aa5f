/**
 * The seal over the log: one HMAC per commit that appended events, chained, with a key that lies outside the database.
 *
 *     seal n: mac(key, mac of n-1, first seq, last seq, every byte of the events between)
 *
 * Whoever has the database but not the key can change, remove, add or reorder nothing unseen. Whoever puts an older copy of the whole database
 * back is seen by the anchors (anchor.ts). It never mends anything, and what it seals is what this program appended, never what it found there.
 *
 * Nothing is appended without the key that made the last seal: whoever could take the key away could else change the log and be found out by nobody who
 * does not ask. The one thing that a new key seals first is a person's word that it takes over: the event `log.adopted`.
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

/** The key that is to seal, and the file it lies in. Faults: `seal-key-gone` where it is not there. */
export function sealingKey(file: string, key: Buffer | null): SealKey & { file: string } {
  if (!key)
    throw new Fault('seal-key-gone', `the key of the log's seals is gone: it lay at ${file}`, { hint: comeBack('it') })
  return { ...sealKeyOf(key), file }
}

const comeBack = (which: string): string =>
  `put ${which} back from where you keep a copy; where there is none, what goes on without it says: tri-agent log adopt`

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

/**
 * Seals what one commit appended, in that commit. Faults: `log-shortened` when events that were sealed are gone, `seal-key-other` when the last seal was
 * made with another key and this is not the event by which a person lets this one take over.
 */
export async function sealAppended(
  tx: Pick<Tx, 'get' | 'run' | 'known'>,
  key: SealKey & { file: string },
  rows: readonly LogRow[],
): Promise<Seal> {
  const before = tx.known.seal ?? (await lastSeal(tx))
  const first_seq = rows[0]!.seq
  const last_seq = rows.at(-1)!.seq
  if (before && before.last_seq >= first_seq)
    throw new Fault('log-shortened', `events up to ${first_seq} of ${before.last_seq} are there: some were deleted`, {
      hint: 'tri-agent log verify says where; nothing is appended to a log that lost events',
    })
  if (before && before.key_id !== key.id && !adopts(rows[0]!, key))
    throw new Fault(
      'seal-key-other',
      `the log is sealed with the key ${before.key_id}, and at ${key.file} lies another one, ${key.id}`,
      { hint: comeBack('that one') },
    )
  const previous = before?.mac ?? firstLink.begun
  const mac = macFrom(key, { previous, first_seq, last_seq })
  mac.add(rows)
  const seal = { last_seq, first_seq, key_id: key.id, previous, mac: mac.end() }
  await tx.run(insertSeal, seal)
  tx.known.seal = seal
  return seal
}

const adopts = ({ type, body }: LogRow, key: SealKey): boolean =>
  type === 'log.adopted' && (JSON.parse(body) as { key: string }).key === key.id

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

/** Names the events up to one, as they are. */
export async function nameOfLog(reader: Pick<Reader, 'all'>, last: number): Promise<string> {
  const hash = createHash('sha256')
  for (let after = 0; after < last;) {
    const page = await logPage(reader, after, last)
    if (page.length === 0) break
    hash.update(page.map(bytesOf).join(''))
    after = page.at(-1)!.seq
  }
  return hash.digest('hex')
}

const pageSize = 1000

/** The events after one and up to another, at most a page of them. */
export const logPage = (reader: Pick<Reader, 'all'>, after: number, last: number): Promise<LogRow[]> =>
  reader.all<LogRow>(
    `select seq, at, stream, version, type, actor, body from event
     where seq > :after and seq <= :last order by seq limit ${pageSize}`,
    { after, last },
  )
