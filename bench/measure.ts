/** What every bench shares: medians, what a process costs, the table and the line of JSON. Reads /proc, so it measures on Linux alone. */
import { readdirSync, readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { capture } from '../src/host/process.ts'
import { world } from '../test/cli-rig.ts'

export type Row = {
  what: string
  unit: 'ms' | 'MB' | '%' | 's' | '/s' | '×' | 'µs' | 'requests' | 'streams' | 'processes' | '$'
  measured: number
  /** The same without us, from the same run; null where there is no such thing. */
  baseline: number | null
  /** The most it may be, in its unit; null for what is printed beside. */
  target: number | null
  /** The target is the least it may be. */
  atLeast?: true
}

/** A bench measures and answers rows; what it does meanwhile it says to `note`. */
export type Bench = (note: (text: string) => void) => Promise<Row[]>

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The value below which this part of them lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
}

const isMet = ({ measured, target, atLeast }: Row): boolean | null =>
  target === null ? null : atLeast ? measured >= target : measured <= target

/** The table for people and, last, one line of JSON for programs. */
export function report(bench: string, rows: readonly Row[]): string {
  const say = (value: number | null, unit: string) =>
    value === null
      ? '-'
      : `${value.toFixed(['/s', 'requests', 'streams', 'processes'].includes(unit) ? 0 : unit === 'MB' ? 1 : unit === '$' ? 4 : 2)} ${unit}`
  const table = [
    ['', 'measured', 'baseline', 'target', ''],
    ...rows.map((row) => {
      const met = isMet(row)
      const target = row.target === null ? '-' : `${row.atLeast ? '≥' : '≤'} ${say(row.target, row.unit)}`
      const verdict = met === null ? '' : met ? 'met' : 'not met'
      return [row.what, say(row.measured, row.unit), say(row.baseline, row.unit), target, verdict]
    }),
  ]
  const widths = table[0]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)))
  const lines = table.map((line) =>
    line
      .map((cell, column) =>
        column === 0 || column === 4 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  )
  const json = {
    bench,
    node: process.versions.node,
    cores: cpus().length,
    load: loadavg(),
    rows: rows.map((row) => ({ ...row, met: isMet(row) })),
  }
  return `${lines.join('\n')}\n${JSON.stringify(json)}\n`
}

/** Milliseconds of one start of node with these words, to its end. It must end well. */
export async function timeOf(args: readonly string[], env: Record<string, string>, cwd: string): Promise<number> {
  const began = world.clock.mono()
  const ended = await capture(world.spawn, { file: process.execPath, args, cwd, env })
  const ms = world.clock.mono() - began
  if (ended.code !== 0)
    throw new Error(`node ${args.join(' ')} ended with ${ended.code}: ${ended.stdout}${ended.stderr}`)
  return ms
}

const tickMs = 10 // USER_HZ is 100 on every Linux that Node is built for

/** Milliseconds of CPU that the ended children of this process have used so far. In ticks, so ask before and after a batch. */
export const childrenCpuMs = (): number => {
  const fields = statFields('self')
  return (Number(fields[13]) + Number(fields[14])) * tickMs
}

/** Milliseconds of CPU a living process has used so far, all its threads. */
export const cpuMsOf = (pid: number): number => {
  const fields = statFields(String(pid))
  return (Number(fields[11]) + Number(fields[12])) * tickMs
}

function statFields(pid: string): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** Megabytes (2^20) a process holds in memory. */
export function rssMbOf(pid: number): number {
  const written = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  if (written === undefined) throw new Error(`no VmRSS of ${pid}`)
  return Number(written) / 1024
}

/** Bytes of all files below a folder's path are the sum of these. */
export const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => `${each.parentPath}/${each.name}`)
