/**
 * The file an attempt leaves behind, read without git: the header is parsed here, the pack goes to `index-pack` as it is.
 *
 *     # v2 git bundle            (v3: then lines `@capability`)
 *     -<id> comment              commits the receiver must have
 *     <id> <ref>                 exactly one here
 *     <empty line> PACK…
 *
 * (Source: gitformat-bundle.) `git fetch` from a bundle is not used because git ignores fsck settings there.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { isRefusal, type Refusal, refuse } from '../core/refusal.ts'
import type { Sha } from './git.ts'

export type Bundle = { tip: Sha; prerequisites: Sha[]; pack: Buffer }

const maxHeaderBytes = 64 * 1024

/**
 * Reads a bundle that a stranger may have written, at most `maxBytes`. Symbolic links, fifos and devices are not opened.
 * Refuses `no-bundle`, `too-large`, `unclean`.
 */
export async function readBundle(path: string, maxBytes: number, format: string): Promise<Bundle | Refusal> {
  const bytes = await readRegularFile(path, maxBytes)
  return isRefusal(bytes) ? bytes : parseBundle(bytes, format)
}

async function readRegularFile(path: string, maxBytes: number): Promise<Buffer | Refusal> {
  let file
  try {
    // Without O_NONBLOCK a fifo in the bundle's place would hold us for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EMLINK', 'ENXIO'].includes(code)) {
      return refuse('no-bundle', `no regular file was left for us (${code})`)
    }
    throw error
  }
  try {
    const stat = await file.stat()
    if (!stat.isFile()) return refuse('no-bundle', 'what was left for us is not a regular file')
    const tooLarge = refuse('too-large', `the bundle has ${stat.size} bytes, more than ${maxBytes}`)
    if (stat.size > maxBytes) return tooLarge
    const bytes = Buffer.alloc(stat.size + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, null)
      length += bytesRead
      if (bytesRead === 0) return bytes.subarray(0, length)
      if (length === bytes.length) return refuse('unclean', 'the bundle grew while it was read')
    }
  } finally {
    await file.close()
  }
}

/** Takes a bundle apart. Refuses `unclean` with what is wrong. */
function parseBundle(bytes: Buffer, format: string): Bundle | Refusal {
  const end = bytes.subarray(0, maxHeaderBytes).indexOf('\n\n')
  if (end < 0) return refuse('unclean', 'the bundle has no header')
  const [signature, ...lines] = bytes.subarray(0, end).toString('latin1').split('\n')
  if (signature !== '# v2 git bundle' && signature !== '# v3 git bundle')
    return refuse('unclean', 'not a bundle of git')
  const id = format === 'sha256' ? '[0-9a-f]{64}' : '[0-9a-f]{40}'
  const prerequisites: Sha[] = []
  const tips: Sha[] = []
  for (const line of lines) {
    const prerequisite = new RegExp(`^-(${id})(?: .*)?$`).exec(line)?.[1]
    const tip = new RegExp(`^(${id}) .+$`).exec(line)?.[1]
    if (prerequisite !== undefined) prerequisites.push(prerequisite)
    else if (tip !== undefined) tips.push(tip)
    else if (line !== `@object-format=${format}`) return refuse('unclean', `the bundle's header has an unknown line`)
  }
  if (tips.length !== 1) return refuse('unclean', `the bundle holds ${tips.length} refs instead of one`)
  return { tip: tips[0]!, prerequisites, pack: bytes.subarray(end + 2) }
}
