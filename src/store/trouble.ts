/**
 * What SQLite says when the world is broken, in one place: which of our words it is, whether it may pass by itself, and what a person does about it.
 * A mistake of ours in SQL is no trouble of the world's: it stays what it is, and crashes.
 */
import { Fault } from '../host/fault.ts'

/** Result codes of SQLite; the lower byte is the kind, the rest says more. */
const kinds: Readonly<Record<number, { code: string; hint: (path: string) => string }>> = {
  8: {
    code: 'database-read-only',
    hint: () => 'make its disk and its folder writable again: mount, ls -ld; what only looks still works',
  },
  10: {
    code: 'disk-failing',
    hint: () => 'look at the disk (dmesg, smartctl) and copy the backups away: tri-agent backup list',
  },
  11: { code: 'database-damaged', hint: () => 'tri-agent db check says where; tri-agent restore latest' },
  13: { code: 'disk-full', hint: () => 'make room; nothing acknowledged is lost, and it goes on by itself' },
  14: {
    code: 'database-unopened',
    hint: (path) => `look at it: ls -l ${path}*; its folder must be writable, and there must be room`,
  },
  26: { code: 'database-damaged', hint: () => 'if it was ours: tri-agent restore latest; else move it away' },
}

/** No room for SQLite's shared memory: an I/O error by its number, a full disk by its cause. */
const noRoom = new Set([4874, 5386]) // SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_SHMMAP

/** The fault that this is, or null where it is none of these. */
export function troubleOf(error: unknown, path?: string): Fault | null {
  const { code, errcode, message } = (error ?? {}) as { code?: string; errcode?: number; message?: string }
  if (!(error instanceof Error) || code !== 'ERR_SQLITE_ERROR' || errcode === undefined) return null
  const kind = kinds[noRoom.has(errcode) ? 13 : errcode & 0xff]
  if (!kind) return null
  return new Fault(kind.code, `${path ? `${path}: ` : ''}${message}`, { cause: error, hint: kind.hint(path ?? '') })
}

const passing = new Set(['disk-full', 'disk-failing', 'database-read-only'])

/** May it pass by itself, so that whoever wants to write waits? */
export const mayPass = (error: unknown): error is Fault => error instanceof Fault && passing.has(error.code)
