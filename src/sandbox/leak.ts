/** Does a tree hold a text that nobody may find there? Links are not followed; a file that cannot be read is taken for one that has it. */
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

const chunkBytes = 1024 * 1024

/** The first file below `folder` with one of `texts` in it, as a path below it; null when there is none. */
export async function findText(folder: string, texts: readonly string[]): Promise<string | null> {
  const wanted = texts.filter((text) => text.length >= leastBytes).map((text) => Buffer.from(text))
  return wanted.length === 0 ? null : look(folder, '', wanted)
}

/** Shorter texts are in everything (host/scrub.ts has the same bound). */
const leastBytes = 6

async function look(folder: string, below: string, wanted: readonly Buffer[]): Promise<string | null> {
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    const found = entry.isDirectory()
      ? await look(folder, path, wanted)
      : entry.isFile() && (await holds(join(folder, path), wanted))
        ? path
        : null
    if (found !== null) return found
  }
  return null
}

async function holds(file: string, wanted: readonly Buffer[]): Promise<boolean> {
  const handle = await open(file, 'r').catch(() => null)
  if (handle === null) return true
  try {
    const overlap = Math.max(...wanted.map((text) => text.length)) - 1
    const buffer = Buffer.alloc(chunkBytes + overlap)
    let kept = 0
    for (;;) {
      const { bytesRead } = await handle.read(buffer, kept, chunkBytes)
      if (bytesRead === 0) return false
      const seen = buffer.subarray(0, kept + bytesRead)
      if (wanted.some((text) => seen.includes(text))) return true
      const next = Math.min(overlap, seen.length)
      seen.copy(buffer, 0, seen.length - next)
      kept = next
    }
  } finally {
    await handle.close()
  }
}
