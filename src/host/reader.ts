/**
 * Whether anybody still reads the pipe we write into. Node asks the kernel only when something is written, so a follower with nothing to say would
 * wait for ever; Linux shows who holds the other end. Where that cannot be seen (another system, a reader of another account) the next write tells.
 */
import { fstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Asked again and again, it answers false once the reader that was there at first is gone and no other is there. */
export function watchReader(descriptor: number): () => boolean {
  if (process.platform !== 'linux' || !fstatSync(descriptor).isFIFO()) return () => true
  const pipe = readlinkSync(`/proc/self/fd/${descriptor}`)
  let reader = findReader(pipe)
  const wasSeen = reader !== null
  return () => {
    if (reader !== null && !reads(reader, pipe)) reader = findReader(pipe)
    return reader !== null || !wasSeen
  }
}

/** `1234/fd/0` of the first process that has the pipe open for reading. */
const findReader = (pipe: string): string | null =>
  entries('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => entries(`/proc/${pid}/fd`).map((fd) => `${pid}/fd/${fd}`))
    .find((place) => reads(place, pipe)) ?? null

function reads(place: string, pipe: string): boolean {
  try {
    if (readlinkSync(join('/proc', place)) !== pipe) return false
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(join('/proc', place.replace('/fd/', '/fdinfo/')), 'utf8'))?.[1]
    return (Number.parseInt(flags ?? '1', 8) & 3) === 0 // O_RDONLY of open(2)
  } catch {
    return false // it has ended or closed it meanwhile
  }
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // ended meanwhile, or another account's
  }
}
