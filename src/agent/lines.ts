/** Lines of a stream that may be hostile: each is cut at a number of bytes, and no more than that is ever held. Never throws for what it reads. */
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

export type LineListener = {
  /** Every byte read, newlines too, before the lines they belong to. */
  onBytes(bytes: number): void
  /** A line without its newline; `cut` when it was longer. The last one may lack its newline. */
  onLine(line: string, cut: boolean): void
}

const newline = 0x0a

/** Reads a stream to its end. A destroyed stream is an ended one. UTF-8 is decoded by line, so chunks may fall anywhere. */
export async function readLines(stream: Readable, lineBytes: number, listener: LineListener): Promise<void> {
  let parts: Buffer[] = []
  let held = 0
  let length = 0
  const take = (part: Buffer) => {
    length += part.length
    if (held >= lineBytes || part.length === 0) return
    const kept = part.subarray(0, lineBytes - held)
    parts.push(kept)
    held += kept.length
  }
  const give = () => {
    const cut = length > held
    const bytes = Buffer.concat(parts)
    // The decoder keeps back a character whose end was cut off.
    listener.onLine(cut ? new StringDecoder('utf8').write(bytes) : bytes.toString('utf8'), cut)
    parts = []
    held = 0
    length = 0
  }
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      listener.onBytes(chunk.length)
      let from = 0
      for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, from)) {
        take(chunk.subarray(from, at))
        give()
        from = at + 1
      }
      take(chunk.subarray(from))
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
  if (length > 0) give()
}
