/**
 * How far a gate is that is being executed: which one, for how long, and how long it took when it was last green. Pure.
 *
 * Which one is in the attempt's transcript, where each gate notes its command when it starts and its state when it has ended (stage/gates.ts).
 */
import type { GateReport } from './gate.ts'

/** `usualMs`: null where it was never green here. */
export type GateProgress = { gate: string; ms: number; usualMs: number | null }

/** The gate under way at the end of a transcript, or null: none, or one that has ended. `reports`: earlier ones, newest first. */
export function gateUnderWay(transcript: string, reports: readonly GateReport[], ms: number): GateProgress | null {
  const [, noted] = /.*(?:^|\n)# gate ([^\n]+)/s.exec(transcript) ?? []
  if (noted === undefined || /: (?:green|red|timed-out)$/.test(noted)) return null
  const known = reports
    .flatMap(({ results }) => results)
    .filter(({ name, command }) => noted === `${name}: ${command.split('\n')[0]}`)
  return {
    gate: known[0]?.name ?? noted.split(': ')[0]!,
    ms,
    usualMs: known.find(({ state }) => state === 'green')?.ms ?? null,
  }
}

/** `gate test, 40 s of about 2 min`. */
export const tellGate = ({ gate, ms, usualMs }: GateProgress): string =>
  `gate ${gate}, ${roughly(ms)}${usualMs === null ? '' : ` of about ${roughly(usualMs)}`}`

function roughly(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000))
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`
}
