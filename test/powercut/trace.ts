/** Reading what strace wrote: the writes, truncations, syncs and removals of the files of one database, in order, with what was acknowledged between. */
import { join } from 'node:path'
import { findPaths } from '../../src/host/path.ts'

export const acksOf = (home: string): string => join(home, 'acks')

/** The files of a database that are written to, by the last part of their names. Shared memory is none: nobody expects it after a power cut. */
const parts = ['', '-wal', '.anchors'] as const
export type Part = (typeof parts)[number] | '.key'

export type Op =
  | { op: 'write'; part: Part; at: number; bytes: Buffer }
  | { op: 'truncate'; part: Part; size: number }
  | { op: 'sync'; part: Part }
  | { op: 'remove'; part: Part }
  /** Everything up to this event of the log has been acknowledged. */
  | { op: 'acknowledged'; seq: number }

export const databaseIn = (home: string): string => findPaths({ HOME: home }).database

/** What strace is asked for. Paths in full, bytes in full, in hexadecimal. */
export function straceArgs(home: string, out: string): string[] {
  const database = databaseIn(home)
  const files = [...parts.map((part) => `${database}${part}`), acksOf(home)]
  const calls = 'write,pwrite64,ftruncate,fsync,fdatasync,unlink,unlinkat'
  return [
    '-f',
    '--seccomp-bpf',
    '-y',
    '-xx',
    '-s',
    '1000000',
    '-o',
    out,
    '-e',
    `trace=${calls}`,
    ...files.flatMap((each) => ['-P', each]),
  ]
}

/** The calls of a recording that succeeded, in the order in which they returned. */
export function readTrace(text: string, home: string): Op[] {
  const database = databaseIn(home)
  const ends = new Map<string, number>()
  const begun = new Map<string, string>()
  const ops: Op[] = []
  for (const line of text.split('\n')) {
    const [, pid = '', said = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    if (said.endsWith('<unfinished ...>')) {
      begun.set(pid, said.slice(0, -'<unfinished ...>'.length).trimEnd())
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(said)?.[1]
    const call = resumed === undefined ? said : `${begun.get(pid) ?? ''}${resumed}`
    const op = readCall(call, database, acksOf(home), ends)
    if (op) ops.push(op)
  }
  return ops
}

function readCall(call: string, database: string, acks: string, ends: Map<string, number>): Op | null {
  const [, name, args = '', answer] = /^(\w+)\((.*)\) += (-?\d+)/.exec(call) ?? []
  if (name === undefined || Number(answer) < 0) return null
  const path = decode(/<([^>]*)>/.exec(args)?.[1] ?? /"([^"]*)"/.exec(args)?.[1] ?? '')
  const bytes = /"((?:\\x[0-9a-f]{2})*)"/.exec(args)?.[1] ?? ''
  const last = Number(/(-?\d+)\)?$/.exec(args)?.[1])
  if (path === acks && name === 'write') return { op: 'acknowledged', seq: Number(decode(bytes)) }
  const part = parts.find((each) => path === `${database}${each}`)
  if (part === undefined) return null
  switch (name) {
    case 'pwrite64':
      return { op: 'write', part, at: last, bytes: decodeBytes(bytes).subarray(0, Number(answer)) }
    case 'write': {
      // appended: SQLite names a place with each write, and what does not is only ever opened to append
      const at = ends.get(part) ?? 0
      ends.set(part, at + Number(answer))
      return { op: 'write', part, at, bytes: decodeBytes(bytes).subarray(0, Number(answer)) }
    }
    case 'ftruncate':
      return { op: 'truncate', part, size: last }
    case 'unlink':
    case 'unlinkat':
      return { op: 'remove', part }
    default:
      return { op: 'sync', part }
  }
}

const decodeBytes = (hex: string): Buffer => Buffer.from(hex.replaceAll('\\x', ''), 'hex')
/** strace -xx writes paths in hexadecimal too. */
const decode = (text: string): string => (text.includes('\\x') ? decodeBytes(text).toString('latin1') : text)
