/** Is the log what was written? Every seal is made again and compared, every anchor looked up. Changes nothing, and names what is wrong in log order. */
import { timingSafeEqual } from 'node:crypto'
import type { LogAnchor } from '../core/trailer.ts'
import { nameOfAnchors, readAnchors } from './anchor.ts'
import type { Database, Reader } from './database.ts'
import { lastEvent, lastSeq } from './log.ts'
import { firstLink, logPage, macFrom, nameOfLog, sealingKey, sealKeyOf, type Seal, type SealKey } from './seal.ts'

/**
 * `changed`: an event was edited, replaced or moved. `deleted`: events are missing between others. `inserted`: events nobody sealed.
 * `truncated`: the end of the log is missing. `unlinked`: seals were removed, added or moved. `rolled-back`: the whole log was further than it is.
 * `other-key`: sealed with a key that is not here, so that nothing can be said, and no person has said that it shall go on without.
 */
export type LogDamage = {
  kind: 'changed' | 'deleted' | 'inserted' | 'truncated' | 'unlinked' | 'rolled-back' | 'other-key'
  /** The batch: its first and last event. */
  first: number
  last: number
  why: string
}

/** One batch that is wrong, in a line. */
export const tellDamage = ({ kind, first, last, why }: LogDamage): string => `${kind} ${first}-${last}: ${why}`

export type LogReport = {
  ok: boolean
  events: number
  batches: number
  anchors: number
  /** Anchors of landings that another log made: another account's, or one that was lost with its key. */
  foreign: number
  /** Up to here the log is older than its seals: sealed as it was found. */
  adopted: number | null
  /** Up to here some of it was sealed with keys that are not here: a person went on without them, and since then it is as it was found. */
  unproven: Adoption | null
  /** In log order; the first one is the first bad batch. */
  damage: LogDamage[]
}

/** Anchors kept elsewhere (landing trailers) may be handed in besides those in the file; `where` says which, for people. */
export type KnownAnchor = LogAnchor & { where: string }

/** A person's word that another key takes over; `keys` are those that are not here. */
export type Adoption = { last: number; sha256: string; keys: string[]; by: string; at: number }

/** Looks at the whole log. Faults: `seal-key-gone` where it is sealed and the key is gone. */
export async function verifyLog(database: Database, elsewhere: readonly KnownAnchor[] = []): Promise<LogReport> {
  const inFile = database.path === ':memory:' ? [] : readAnchors(database.path)
  const here = inFile.map((anchor) => ({ ...anchor, where: besideUs }))
  return database.read(async (reader) => {
    const counted = (await reader.get<{ events: number; end: number; batches: number }>(
      `select (select count(*) from event) as events, (select coalesce(max(seq), 0) from event) as end,
         (select count(*) from seal) as batches`,
    ))!
    const key = counted.batches > 0 ? sealingKey(`${database.path}.key`, database.sealKey) : sealKeyOf(Buffer.alloc(0))
    const walked = await walk(reader, key, counted.end)
    const keys = await sealKeys(reader, key.id)
    const anchors = [...here, ...elsewhere.filter((anchor) => keys.has(anchor.key))]
    const left = await leftBehind(reader, database.path)
    const behind = (await withoutSeal(reader, anchors)).filter((anchor) => !left.has(anchor.mac))
    const damage = [...walked.damage, ...behind.map((anchor) => rolledBack(anchor, walked.last))]
    return {
      ok: damage.length === 0,
      events: counted.events,
      batches: counted.batches,
      anchors: anchors.length,
      foreign: here.length + elsewhere.length - anchors.length,
      adopted: walked.adopted,
      unproven: walked.unproven,
      damage: damage.toSorted((a, b) => a.first - b.first),
    }
  })
}

const besideUs = 'the file of anchors'

/** The keys this log was ever sealed with, and the present one. */
export async function sealKeys(reader: Reader, present: string): Promise<Set<string>> {
  const rows = await reader.all<{ key_id: string }>('select distinct key_id from seal')
  return new Set([present, ...rows.map(({ key_id }) => key_id)])
}

/** What was sealed with other keys than the one named (null: with any) and that no person has gone on without. Null where nothing was. */
export async function unprovenIn(
  reader: Reader,
  present: string | null,
): Promise<{ events: number; last: number; keys: string[] } | null> {
  const adopted = (present === null ? null : await adoptionBy(reader, present))?.last ?? 0
  const rows = await reader.all<{ key_id: string; events: number; last: number }>(
    `select key_id, sum(last_seq - first_seq + 1) as events, max(last_seq) as last from seal
     where (:present is null or key_id <> :present) and last_seq > :adopted group by key_id order by last`,
    { present, adopted },
  )
  if (rows.length === 0) return null
  const events = rows.reduce((sum, row) => sum + row.events, 0)
  return { events, last: rows.at(-1)!.last, keys: rows.map(({ key_id }) => key_id) }
}

type Link = Pick<Seal, 'last_seq' | 'mac'>

type Walked = { damage: LogDamage[]; adopted: number | null; unproven: Adoption | null; last: number }

/** Every seal in order, and what lies between and behind them. */
async function walk(
  reader: Reader,
  key: SealKey,
  end: number,
  from: Link = { last_seq: 0, mac: firstLink.begun },
): Promise<Walked> {
  const damage: LogDamage[] = []
  const adoption = await adoptionBy(reader, key.id)
  let adopted: number | null = null
  let before = from
  if (from.last_seq === 0) damage.push(...(await unsealed(reader, Number.MIN_SAFE_INTEGER, 0)))
  for (;;) {
    const page = await reader.all<Seal>('select * from seal where last_seq > :after order by last_seq limit 500', {
      after: before.last_seq,
    })
    if (page.length === 0) break
    for (const seal of page) {
      if (before.last_seq === 0 && seal.previous === firstLink.adopted) {
        adopted = seal.last_seq
        before = { last_seq: 0, mac: firstLink.adopted }
      }
      damage.push(
        ...(await checkLink(reader, before, seal)),
        ...(await checkSeal(reader, { key, adoption, end }, seal)),
      )
      before = seal
    }
  }
  damage.push(...(await unsealed(reader, before.last_seq, Number.MAX_SAFE_INTEGER)))
  // the seals of what was adopted say nothing any more; how it was found then does
  if (adoption && from.last_seq === 0 && (await nameOfLog(reader, adoption.last)) !== adoption.sha256)
    damage.push({ kind: 'changed', first: 1, last: adoption.last, why: 'its events are not those that were adopted' })
  return { damage, adopted, unproven: adoption, last: before.last_seq }
}

/** The word by which the present key took over from others, itself under a seal of this key. Null where this key never had to. */
async function adoptionBy(reader: Reader, key: string): Promise<Adoption | null> {
  const logged = await lastEvent(reader, 'daemon/main', 'log.adopted')
  if (logged?.event.type !== 'log.adopted' || logged.event.key !== key) return null
  const { last, sha256, before } = logged.event
  const sealed = await reader.get(
    'select 1 from seal where first_seq <= :seq and last_seq >= :seq and first_seq > :last and key_id = :key',
    { seq: logged.seq, last, key },
  )
  return sealed ? { last, sha256, keys: before, by: logged.actor, at: logged.at } : null
}

/** Does this seal follow the one before? */
async function checkLink(reader: Reader, before: Link, seal: Seal): Promise<LogDamage[]> {
  const { first_seq: first, last_seq: last } = seal
  if (seal.previous !== before.mac)
    return [{ kind: 'unlinked', first, last, why: 'its seal does not follow the seal before: seals were taken out' }]
  if (first <= before.last_seq) return [{ kind: 'unlinked', first, last, why: 'its seal overlaps the one before' }]
  return unsealed(reader, before.last_seq, first - 1)
}

/** Events between two numbers, where no seal is: nobody who has the key wrote them. */
async function unsealed(reader: Reader, after: number, last: number): Promise<LogDamage[]> {
  if (after >= last) return [] // as before nearly every seal
  const { n, lowest, highest } = (await reader.get<{ n: number; lowest: number; highest: number }>(
    'select count(*) as n, min(seq) as lowest, max(seq) as highest from event where seq > :after and seq <= :last',
    { after, last },
  ))!
  if (n === 0) return []
  return [{ kind: 'inserted', first: lowest, last: highest, why: `${n} events that no seal covers` }]
}

type Against = { key: SealKey; adoption: Adoption | null; end: number }

async function checkSeal(reader: Reader, { key, adoption, end }: Against, seal: Seal): Promise<LogDamage[]> {
  const { first_seq: first, last_seq: last } = seal
  const mac = seal.key_id === key.id ? macFrom(key, seal) : null
  if (!mac && adoption && last <= adoption.last) return [] // the hash of it is looked at
  let found = 0
  for (let after = first - 1; after < last;) {
    const page = await logPage(reader, after, last)
    if (page.length === 0) break
    mac?.add(page)
    found += page.length
    after = page.at(-1)!.seq
  }
  const missing = last - first + 1 - found
  if (missing > 0 && end < last)
    return [{ kind: 'truncated', first, last, why: `the log ends at ${end}, its seals at ${last}` }]
  if (missing > 0) return [{ kind: 'deleted', first, last, why: `${missing} of its events are gone` }]
  if (!mac) return [{ kind: 'other-key', first, last, why: `sealed with key ${seal.key_id}, here is ${key.id}` }]
  if (!timingSafeEqual(Buffer.from(mac.end()), Buffer.from(seal.mac)))
    return [{ kind: 'changed', first, last, why: 'its events are not those that were sealed' }]
  return []
}

/** Anchors that name a seal which is not there: the log has been further than it is, or another way. */
export async function withoutSeal<Anchor extends LogAnchor>(
  reader: Reader,
  anchors: readonly Anchor[],
): Promise<Anchor[]> {
  const missing: Anchor[] = []
  for (const anchor of anchors) {
    const there = await reader.get<{ mac: string }>('select mac from seal where last_seq = :seq', { seq: anchor.seq })
    if (there?.mac !== anchor.mac) missing.push(anchor)
  }
  return missing
}

const rolledBack = ({ seq, where }: KnownAnchor, end: number): LogDamage => ({
  kind: 'rolled-back',
  first: Math.min(seq, end + 1),
  last: seq,
  why: seq > end ? `${where} knows of event ${seq}, the log ends at ${end}` : `${where} knows another seal here`,
})

/**
 * The seals that the last restore left behind, as its event (sealed like any other) names them. In the file of anchors they are exactly those of its
 * time that this log is not at one with; one more or one less, and none of them is explained.
 */
async function leftBehind(reader: Reader, path: string): Promise<Set<string>> {
  const restored = (await lastEvent(reader, 'daemon/main', 'store.restored'))?.event
  if (restored?.type !== 'store.restored') return new Set()
  const { bytes, count, sha256 } = restored.anchors
  const inFile = path === ':memory:' ? [] : await withoutSeal(reader, readAnchors(path, bytes))
  const isWhole = inFile.length === count && nameOfAnchors(inFile) === sha256
  return new Set([...(isWhole ? inFile : []), ...restored.behind].map(({ mac }) => mac))
}

/**
 * The first batch that is wrong, of the newest `most` or of all. Anchors are not looked up, and of what was sealed with a key that is not here
 * nothing is said.
 */
export async function firstDamage(reader: Reader, sealKey: Buffer, most: number | null): Promise<LogDamage | null> {
  const from =
    most === null
      ? undefined
      : await reader.get<Link>('select last_seq, mac from seal order by last_seq desc limit 1 offset :most', { most })
  const { damage } = await walk(reader, sealKeyOf(sealKey), await lastSeq(reader), from)
  return damage.find(({ kind }) => kind !== 'other-key') ?? null
}

/** So many of the newest anchors are looked up at a start: whoever worked on an older copy by hand has written a few since. */
const newest = 200

/**
 * The newest event that anchors beside this database know and its log does not: an older copy was put in its place by hand. Null where there is none.
 * What a restore left behind does not count. Quick: a few lines, not the log.
 */
export async function furthestBehind(reader: Reader, path: string): Promise<{ known: number; end: number } | null> {
  if (path === ':memory:') return null
  const missing = await withoutSeal(reader, readAnchors(path).slice(-newest))
  if (missing.length === 0) return null
  const left = await leftBehind(reader, path)
  const known = Math.max(...missing.filter(({ mac }) => !left.has(mac)).map(({ seq }) => seq))
  if (known === -Infinity) return null
  const { end } = (await reader.get<{ end: number }>('select coalesce(max(seq), 0) as end from event'))!
  return { known, end }
}
