/** How much room this machine has left, and what follows: nothing new starts on a full one, because what runs already would be the first to fail. */
import { statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import { lack, ok, warn, type Check } from '../core/check.ts'
import { standing } from '../host/file-system.ts'
import { hasProc } from '../host/proc.ts'

export type Room = { diskBytes: number; memoryBytes: number }

const gigabyte = 1024 ** 3
/** numbers.md: nothing new below these two, a warning above the third. */
const leastDiskBytes = 2 * gigabyte
const leastMemoryBytes = gigabyte
const manyAreaBytes = 10 * gigabyte

/** What is left for us at a folder, which need not be there yet; of a container, what the container has. */
export function measureRoom(folder: string): Room {
  const { bavail, bsize } = statfsSync(standing(folder))
  // what is available is read from /proc: without one that is nothing
  return { diskBytes: bavail * bsize, memoryBytes: hasProc() ? process.availableMemory() : freemem() }
}

/** Why nothing new may start, or null. */
export function whyClosed({ diskBytes, memoryBytes }: Room, folder: string): string | null {
  if (diskBytes < leastDiskBytes) return `less than 2 GB of disk left for ${folder}`
  return memoryBytes < leastMemoryBytes ? 'less than 1 GB of memory left' : null
}

const inGigabytes = (bytes: number): string => `${(bytes / gigabyte).toFixed(1)} GB`

/** The same as checks. */
export function checkRoom({ diskBytes, memoryBytes }: Room, folder: string): Check[] {
  const disk = `${inGigabytes(diskBytes)} free for ${folder}`
  const memory = `${inGigabytes(memoryBytes)} available`
  return [
    diskBytes < leastDiskBytes
      ? lack('disk', disk, 'make room: nothing new starts below 2 GB. tri-agent clean says what can be had back')
      : ok('disk', disk),
    memoryBytes < leastMemoryBytes
      ? lack('memory', memory, 'end something: nothing new starts below 1 GB')
      : ok('memory', memory),
  ]
}

/** What attempts under way and the warm pool take. */
export function checkAreas(bytes: number): Check {
  const found = `${inGigabytes(bytes)} in work areas`
  return bytes > manyAreaBytes
    ? warn(
        'work areas',
        found,
        'fewer slots, smaller build outputs, or more disk; tri-agent reap --dry-run shows leftovers',
      )
    : ok('work areas', found)
}
