/** The message of a landing commit: what it is, and in trailers who wrote, reviewed, tested and approved exactly what. */
import type { GateReport } from './gate.ts'
import type { ReviewPolicy } from './review.ts'
import type { Task } from './task.ts'

export type Trailers = Readonly<Record<string, string[]>>

/** How far the log had come, the seal it had there, and which key made it. */
export type LogAnchor = { seq: number; mac: string; key: string }

/** Title, description and trailers of a landing. Trailer values are single lines; what a user wrote cannot forge one. */
export function landingMessage(
  task: Task,
  tested: { tree: string; gates: GateReport },
  anchor: LogAnchor | null,
): string {
  const { candidate, round, approval } = task
  if (!candidate || !round || !approval) throw new Error('a landing message needs a candidate, a round and an approval')
  const lines = [
    `Task: ${task.id}`,
    `Implemented-By: ${oneLine(`${candidate.family} ${candidate.model}`)}`,
    ...round.votes.map(({ family, model }) => `Reviewed-By: ${oneLine(`${family} ${model}`)}`),
    `Reviewed-Commit: ${candidate.commit}`,
    `Approved-By: ${oneLine(approval.by + inPlaceOf(round.policy, approval.by))}`,
    `Tested-Tree: ${tested.tree}`,
    ...tested.gates.results.map(
      ({ name, state }) =>
        `Gate: ${oneLine(name)} ${state}${tested.gates.baseline.includes(name) ? ' (baseline)' : ''}`,
    ),
    ...(tested.gates.notConcerned ?? []).map((name) => `Gate: ${oneLine(name)} not-concerned`),
    ...(anchor ? [`Log-Anchor: ${anchorLine(anchor)}`] : []),
  ]
  return `${oneLine(task.title)}\n\n${lines.join('\n')}\n`
}

/** numbers.md, row review: two others judge a change, and a person stands in for those that were not there to be asked. */
function inPlaceOf({ families }: ReviewPolicy, by: string): string {
  if (!by.startsWith('person:') || families.length >= 2) return ''
  return families.length === 1 ? ' in place of a second reviewing family' : ' in place of two reviewing families'
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim()

/** The trailers of a message: its last paragraph. */
export function readTrailers(message: string): Trailers {
  const trailers: Record<string, string[]> = {}
  const last = message.trimEnd().split(/\n\n/).at(-1) ?? ''
  for (const line of last.split('\n')) {
    const found = /^([A-Z][A-Za-z-]*): (.+)$/.exec(line)
    if (found) (trailers[found[1]!] ??= []).push(found[2]!)
  }
  return trailers
}

/** The anchor a landing carries, or null. */
export function readAnchor(trailers: Trailers): LogAnchor | null {
  return parseAnchor(trailers['Log-Anchor']?.[0] ?? '')
}

/** An anchor on one line. */
export const anchorLine = ({ seq, mac, key }: LogAnchor): string => `${seq} ${mac} ${key}`

export function parseAnchor(line: string): LogAnchor | null {
  const [, seq, mac, key] = /^(\d+) ([0-9a-f]{64}) ([0-9a-f]{16})$/.exec(line) ?? []
  return seq && mac && key ? { seq: Number(seq), mac, key } : null
}
