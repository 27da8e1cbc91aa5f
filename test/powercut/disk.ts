/**
 * A disk that loses power. What was synced is there; of what was written since, any part may be: each sector of 512 bytes by itself, in any order,
 * and the length of a file apart from its content. A file that was removed may still be there, as it was.
 */
import type { Op, Part } from './trace.ts'

const sectorBytes = 512

type Change = Exclude<Op, { op: 'acknowledged' | 'sync' }>

/** One file: what is surely on disk, and what has been done to it since. */
type File = { durable: Buffer | null; pending: Change[] }

export type Disk = Map<Part, File>

/** How much of what was not synced gets through: nothing, all, the older part of it, or any sectors. */
const ways = ['nothing', 'all', 'prefix', 'sectors', 'most', 'last'] as const

export function applyOp(disk: Disk, op: Op): void {
  if (op.op === 'acknowledged') return
  const file = disk.get(op.part) ?? { durable: null, pending: [] }
  disk.set(op.part, file)
  if (op.op !== 'sync') return void file.pending.push(op)
  file.durable = changed(file.durable, file.pending)
  file.pending = []
}

/** What a file is after these changes, in order; null where it is not there. */
function changed(before: Buffer | null, ops: readonly Change[]): Buffer | null {
  const ends = ops.map((op) => (op.op === 'write' ? op.at + op.bytes.length : op.op === 'truncate' ? op.size : 0))
  const room = Buffer.alloc(Math.max(before?.length ?? 0, ...ends)) // one copy, however many changes there are
  before?.copy(room)
  let length = before?.length ?? null
  const cut = (size: number) => {
    room.fill(0, size, Math.max(size, length ?? 0))
    length = size
  }
  for (const op of ops)
    if (op.op === 'write') {
      op.bytes.copy(room, op.at)
      length = Math.max(length ?? 0, op.at + op.bytes.length)
    } else if (op.op === 'truncate') cut(op.size)
    else {
      cut(0)
      length = null
    }
  return length === null ? null : room.subarray(0, length)
}

/** The files as they may be after the power is back. `chance` in [0, 1). */
export function cutPower(disk: Disk, chance: () => number): Map<Part, Buffer> {
  const left = new Map<Part, Buffer>()
  for (const [part, { durable, pending }] of disk) {
    const survived = pending.length === 0 ? durable : tear(durable, pending, chance)
    if (survived !== null) left.set(part, survived)
  }
  return left
}

function tear(durable: Buffer | null, pending: readonly Change[], chance: () => number): Buffer | null {
  const removed = pending.findLastIndex(({ op }) => op === 'remove')
  if (removed >= 0)
    // what was written later was written to another file of the same name
    return chance() < 0.5
      ? tear(durable, pending.slice(0, removed), chance)
      : tear(null, pending.slice(removed + 1), chance)
  const way = ways[Math.floor(chance() * ways.length)]!
  if (way === 'nothing') return durable
  if (way === 'all') return changed(durable, pending)
  if (way === 'prefix') return changed(durable, pending.slice(0, Math.floor(chance() * (pending.length + 1))))
  if (way === 'last') return changed(durable, pending.slice(-1))
  const likely = way === 'most' ? 0.9 : 0.5
  return changed(
    durable,
    pending.flatMap((op) => sectorsOf(op).filter(() => chance() < likely)),
  )
}

/** A write as the disk sees it: sector by sector. What is no write happens as a whole. */
function sectorsOf(op: Change): Change[] {
  if (op.op !== 'write') return [op]
  const pieces: Change[] = []
  for (let from = 0; from < op.bytes.length;) {
    const at = op.at + from
    const to = Math.min(op.bytes.length, from + sectorBytes - (at % sectorBytes))
    pieces.push({ ...op, at, bytes: op.bytes.subarray(from, to) })
    from = to
  }
  return pieces
}
