/**
 * What an attempt printed, scrubbed, in one file that only grows: one line per line, led by where it came from (`1` stdout, `2` stderr, `#` our note).
 *
 *     1 compiling…
 *     2 warning: unused variable
 *     # gate test: green
 *
 * Whoever reads it needs no daemon: a reader goes by byte offset. A secret is scrubbed also where it lies across lines of one stream. It never
 * holds a line for its own sake, and never swallows a failed write: `close` throws it.
 */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, constants, fchmodSync, fdatasync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { Fault } from './fault.ts'
import { createScrubber, prepareSecrets, type Scrubber } from './scrub.ts'
import type { World } from './world.ts'

export type Stream = 'stdout' | 'stderr' | 'note'
export type TranscriptEnd = { bytes: number; lines: number; sha256: string }

export type Transcript = {
  /** One line without its newline; newlines inside make several. On disk by the end of the turn. `isCut`: its end is missing. */
  write(stream: Stream, line: string, isCut?: boolean): void
  /** Ends it and says what the file holds. Faults: `transcript-unwritable` for this or any earlier write. May be called twice. */
  close(): Promise<TranscriptEnd>
}

const signs: Readonly<Record<Stream, string>> = { stdout: '1', stderr: '2', note: '#' }
const streams = new Map(Object.entries(signs).map(([stream, sign]) => [sign, stream as Stream]))

/** Where a flood ends: after this many bytes lines are dropped and a note says so. */
const largestBytes = 256 * 1024 * 1024

/** Opens an attempt's transcript (0600), continuing it where it exists. Faults: `transcript-unwritable`. */
export async function openTranscript(
  file: string,
  secrets: readonly string[],
  maxBytes = largestBytes,
): Promise<Transcript> {
  const descriptor = openForWriting(file)
  const hash = createHash('sha256')
  const end = { bytes: 0, lines: 0 }
  let pending: Buffer[] = []
  let failure: unknown = null
  let closed: Promise<TranscriptEnd> | null = null

  const flush = () => {
    const bytes = Buffer.concat(pending)
    pending = []
    if (failure !== null || bytes.length === 0) return
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at)
      count(bytes, hash, end)
    } catch (error) {
      failure = error
    }
  }
  const put = recordsInto(
    (record) => {
      if (pending.length === 0) queueMicrotask(flush) // lines of one chunk are written at once, and a full pipe waits for the disk
      pending.push(record)
    },
    maxBytes,
    secrets,
  )

  try {
    fchmodSync(descriptor, 0o600)
    countExisting(descriptor, hash, end)
  } catch (error) {
    closeSync(descriptor)
    throw unwritable(file, error)
  }
  put.begin(end.bytes)
  return {
    write: (stream, line, isCut = false) => {
      if (closed === null) put.line(stream, line, isCut)
    },
    close: () => (closed ??= finish()),
  }

  async function finish(): Promise<TranscriptEnd> {
    put.end()
    flush()
    try {
      if (failure === null) await promisify(fdatasync)(descriptor)
    } catch (error) {
      failure = error
    } finally {
      closeSync(descriptor)
    }
    if (failure !== null) throw unwritable(file, failure)
    return { ...end, sha256: hash.digest('hex') }
  }
}

/** Makes records of lines: scrubbed per stream, led by the stream's sign, cut off at `maxBytes`. */
function recordsInto(emit: (record: Buffer) => void, maxBytes: number, secrets: readonly string[]) {
  const prepared = prepareSecrets(secrets)
  const scrubbers = new Map<Stream, Scrubber>()
  const unfinished = new Map<Stream, string>()
  let bytes = 0
  let cut = false

  const record = (stream: Stream, line: string) => {
    if (cut) return
    const made = Buffer.from(`${signs[stream]} ${line}\n`)
    cut = bytes + made.length > maxBytes
    const out = cut ? Buffer.from(`# the rest is not kept: more than ${maxBytes} bytes\n`) : made
    bytes += out.length
    emit(out)
  }
  const take = (stream: Stream, scrubbed: Buffer) => {
    const lines = ((unfinished.get(stream) ?? '') + scrubbed.toString('utf8')).split('\n')
    unfinished.set(stream, lines.pop()!)
    for (const line of lines) record(stream, line)
  }
  return {
    begin: (existing: number) => void (bytes = existing),
    line: (stream: Stream, line: string, isCut: boolean) => {
      const scrubber = scrubbers.get(stream) ?? createScrubber(prepared)
      scrubbers.set(stream, scrubber)
      if (!isCut) return take(stream, scrubber.push(Buffer.from(`${line}\n`)))
      take(stream, scrubber.push(Buffer.from(line)))
      take(stream, scrubber.cut())
      take(stream, scrubber.push(Buffer.from('\n')))
    },
    end: () => {
      for (const [stream, scrubber] of scrubbers) {
        take(stream, scrubber.end())
        const rest = unfinished.get(stream)
        if (rest) record(stream, rest)
      }
    },
  }
}

function count(bytes: Buffer, hash: Hash, end: { bytes: number; lines: number }): void {
  hash.update(bytes)
  end.bytes += bytes.length
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) end.lines += 1
}

function countExisting(descriptor: number, hash: Hash, end: { bytes: number; lines: number }): void {
  if (!fstatSync(descriptor).isFile()) throw new Error('is not a file')
  const buffer = Buffer.alloc(64 * 1024)
  for (let length = -1; length !== 0;) {
    length = readSync(descriptor, buffer, 0, buffer.length, end.bytes)
    count(buffer.subarray(0, length), hash, end)
  }
}

function openForWriting(file: string): number {
  try {
    return openSync(file, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  } catch (error) {
    throw unwritable(file, error)
  }
}

const unwritable = (file: string, cause: unknown) =>
  new Fault('transcript-unwritable', `transcript ${file} cannot be written: ${(cause as Error).message}`, { cause })

/** `next`: the offset behind this line, to go on from. */
export type TranscriptLine = { stream: Stream; text: string; next: number }

export type Follow = {
  timer: World['timer']
  /** True once nothing more will be written; what is there is then read to its end. */
  ended(): boolean | Promise<boolean>
  signal?: AbortSignal
}

/** How often a followed file is looked at, in milliseconds: people feel a tenth of a second as at once. */
const lookMs = 100

/** Reads a transcript from a byte offset to its end, or with `follow` until it has ended. A file that is not there (yet) is empty. */
export async function* readTranscript(file: string, from = 0, follow?: Follow): AsyncGenerator<TranscriptLine> {
  let next = from
  let rest = Buffer.alloc(0)
  for (;;) {
    const ended = follow === undefined || (await follow.ended()) || follow.signal?.aborted === true
    for (let chunk = readAt(file, next + rest.length); chunk.length > 0; chunk = readAt(file, next + rest.length)) {
      rest = Buffer.concat([rest, chunk])
      for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
        next += end + 1
        yield parse(rest.subarray(0, end), next)
        rest = rest.subarray(end + 1)
      }
    }
    if (!ended) {
      await follow.timer.sleep(lookMs, follow.signal)
      continue
    }
    if (rest.length > 0) yield parse(rest, next + rest.length)
    return
  }
}

function parse(record: Buffer, next: number): TranscriptLine {
  const line = record.toString('utf8')
  return { stream: streams.get(line[0] ?? '') ?? 'note', text: line.slice(2), next }
}

function readAt(file: string, offset: number): Buffer {
  let descriptor: number
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
    throw new Fault('transcript-unreadable', `transcript ${file} cannot be read`, { cause: error })
  }
  try {
    const buffer = Buffer.alloc(64 * 1024)
    return buffer.subarray(0, readSync(descriptor, buffer, 0, buffer.length, offset))
  } finally {
    closeSync(descriptor)
  }
}
