/**
 * Anchors: beside the database, a file that only grows and says how far the log had come, one anchor a line. A database put back whole from an
 * older copy is at one with itself; it is not at one with its anchors. Landing commits carry the same pair where no file of ours reaches.
 */
import { createHash } from 'node:crypto'
import { appendFileSync, closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { anchorLine, parseAnchor, type LogAnchor } from '../core/trailer.ts'

/** An anchor is written at least once in so many events, besides those at each landing and at the daemon's end. */
const everyEvents = 64

/** Is it time, now that the log has come from `before` to `after`? Asked of any process, so nothing is remembered. */
export const crossesAnchor = (before: number, after: number): boolean =>
  Math.floor(before / everyEvents) < Math.floor(after / everyEvents)

export const anchorFile = (database: string): string => `${database}.anchors`

/** Adds a line. `durable`: waits until it is on disk. */
export function writeAnchor(database: string, anchor: LogAnchor, durable: boolean): void {
  const file = openSync(anchorFile(database), 'a', 0o600)
  try {
    writeSync(file, `${anchorLine(anchor)}\n`) // one write to a file opened for appending: lines of two processes never mix
    if (durable) fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** How long the file is, in bytes, once its last line is whole. */
export function endAnchors(database: string): number {
  const text = textOf(database)
  if (text === '' || text.endsWith('\n')) return text.length
  appendFileSync(anchorFile(database), '\n')
  return text.length + 1
}

/** All anchors beside a database, or those in its first `bytes`. A line cut short by a power cut says nothing and is left out. */
export function readAnchors(database: string, bytes?: number): LogAnchor[] {
  return textOf(database)
    .slice(0, bytes)
    .split('\n')
    .map(parseAnchor)
    .filter((each) => each !== null)
}

function textOf(database: string): string {
  try {
    return readFileSync(anchorFile(database), 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** Names a list of anchors: one more, one less or another one makes another name. */
export const nameOfAnchors = (anchors: readonly LogAnchor[]): string =>
  createHash('sha256')
    .update(anchors.map((each) => `${anchorLine(each)}\n`).join(''))
    .digest('hex')
