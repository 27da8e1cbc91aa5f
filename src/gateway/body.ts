/** Reading a client's request body whole: what it costs must be known before any of it may leave. Bounded, never decompressed. */
import type { IncomingMessage } from 'node:http'
import { refuse, type Refusal } from '../core/refusal.ts'
import { maxBodyBytes } from './wiring.ts'

/**
 * The body's bytes. `take` is told of each chunk and says whether there is room for it. Refuses: `body-encoded`, `body-too-large`, `limit-short`. Rejects when the
 * client goes away meanwhile.
 */
export async function readBody(request: IncomingMessage, take: (bytes: number) => boolean): Promise<Buffer | Refusal> {
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') return refuse('body-encoded', `a body encoded as ${encoding} is not taken`)
  const tooLarge = refuse('body-too-large', `a body may have ${maxBodyBytes} bytes`)
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) return tooLarge
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBodyBytes) return tooLarge
    if (!take(chunk.length)) return refuse('limit-short', 'this attempt has too much under way at once')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
