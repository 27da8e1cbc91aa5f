/**
 * Temporary folders that say in their name who made them (pid namespace, pid, start time): what a crash left is told from what is in use, and nobody's
 * folder is removed because of its age or its prefix alone.
 */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bootId, isAlive, pidNamespaceOf, startTimeOf } from './proc.ts'

/** What ours are for; the first word of their names. */
const purposes = ['tri-probe', 'tri-trial', 'tri-doctor', 'tri-audit'] as const
export type Purpose = (typeof purposes)[number]

/** Short, because sockets are made in some of them. */
const shapeOf = new RegExp(`^(?:${purposes.join('|')})-([0-9a-z]+)-([0-9a-z]+)-([0-9a-z]+)-\\w{6}$`)

const inShort = (number: number): string => number.toString(36)
const namespaceNumber = (): number => Number(/\d+/.exec(pidNamespaceOf(process.pid) ?? '')?.[0] ?? 0)

/** Makes one, 0700, in `parent`; by default where the machine keeps them. */
export function makeTemporary(purpose: Purpose, parent = tmpdir()): Promise<string> {
  const owner = [namespaceNumber(), process.pid, startTimeOf(process.pid) ?? 0].map(inShort).join('-')
  return mkdtemp(join(parent, `${purpose}-${owner}-`))
}

/** True for the name of one whose maker is gone. Of a maker in another pid namespace nothing is known: false. */
export function isAbandoned(name: string): boolean {
  const [, namespace, pid, startTime] = shapeOf.exec(name) ?? []
  if (namespace === undefined || parseInt(namespace, 36) !== namespaceNumber()) return false
  const born = parseInt(startTime!, 36)
  return !isAlive({ bootId: bootId(), pid: parseInt(pid!, 36), startTime: born === 0 ? null : born })
}
