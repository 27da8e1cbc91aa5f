/**
 * Who made something, as a part of its name (pid namespace, pid, start time): what a crash left is told from what is in use, and nothing is removed
 * because of its age or its prefix alone.
 */
import { bootId, isAlive, startTimeOf } from './proc.ts'
import { pidNamespaceOf } from './process-tree.ts'

const inShort = (number: number): string => number.toString(36)
const namespaceNumber = (): number => Number(/\d+/.exec(pidNamespaceOf(process.pid) ?? '')?.[0] ?? 0)

/** This process as the maker: three words of 0-9 and a-z, with `-` between. */
export const makerMark = (): string =>
  [namespaceNumber(), process.pid, startTimeOf(process.pid) ?? 0].map(inShort).join('-')

/** What `makerMark` looks like, as a part of a regular expression with three groups. */
export const makerShape = '([0-9a-z]+)-([0-9a-z]+)-([0-9a-z]+)'

/** True when that maker is gone. Of one in another pid namespace nothing is known: false. */
export function isMakerGone(words: readonly (string | undefined)[]): boolean {
  const [namespace, pid, startTime] = words
  if (namespace === undefined || pid === undefined || startTime === undefined) return false
  if (parseInt(namespace, 36) !== namespaceNumber()) return false
  const born = parseInt(startTime, 36)
  return !isAlive({ bootId: bootId(), pid: parseInt(pid, 36), startTime: born === 0 ? null : born })
}
