/**
 * What lies in a conversation besides text: pictures and documents, whose tokens cannot be told from their bytes, and references to things that are
 * not in the request at all, which are refused unless the operator named their kind. What a tool was called with or gave back is somebody's data and is not looked into.
 */
import type { ProviderTools, ReferenceName } from '../core/provider-tool.ts'
import { refuse, type Refusal } from '../core/refusal.ts'

type Json = Record<string, unknown>

export type Content = {
  images: number
  /** Holds something whose tokens have no bound but the context window. */
  opaque: boolean
  /** Asks for a cache that is kept for an hour. */
  cachesHour: boolean
}

/** `references`: kinds of what it speaks of without having it. */
export type Scanned = Content & { references: ReferenceName[] }

/** Arguments and schemas: any key may occur in them with any meaning. */
const foreign = new Set([
  'input_schema',
  'parameters',
  'parametersJsonSchema',
  'args',
  'response',
  'metadata',
  'schema',
  'json_schema',
  'mcp_servers', // denied as a whole, or named
])
const inBody = /^data:/i

/** Walks a request's body. Refuses: `field-denied` for a remote URL or a file id; where `named` has its kind, it may be anything up to the window. */
export function scanContent(body: Json, named: ProviderTools): Scanned | Refusal {
  const content: Scanned = { images: 0, opaque: false, cachesHour: false, references: [] }
  const waiting: unknown[] = [body] // a stack of our own: a hostile body may be nested deeper than the machine's
  while (waiting.length > 0) {
    const next = waiting.pop()
    if (Array.isArray(next)) for (const each of next) waiting.push(each)
    else if (typeof next === 'object' && next !== null) {
      const reference = scanObject(next as Json, content)
      if (reference && named[reference.kind] === undefined)
        return refuse('field-denied', `${reference.name} points outside of the request, which is not allowed here`)
      if (reference) {
        content.opaque = true
        content.references.push(reference.kind)
      }
      for (const [key, value] of Object.entries(next))
        if (enters(next === body ? {} : (next as Json), key, value)) waiting.push(value)
    }
  }
  return content
}

const enters = (holder: Json, key: string, value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  !foreign.has(key) &&
  !(key === 'input' && holder['type'] === 'tool_use')

const imageTypes = new Set(['image', 'input_image', 'image_url', 'computer_screenshot'])

function scanObject(json: Json, content: Content): Reference | null {
  const cache = json['cache_control']
  if (typeof cache === 'object' && cache !== null && (cache as Json)['ttl'] === '1h') content.cachesHour = true
  const { type } = json
  if (imageTypes.has(String(type))) content.images++
  if (type === 'document' || type === 'input_file' || type === 'file' || type === 'input_audio') content.opaque = true
  const inline = (json['inlineData'] ?? json['inline_data']) as Json | undefined
  if (typeof inline === 'object' && inline !== null) {
    if (String(inline['mimeType'] ?? inline['mime_type']).startsWith('image/')) content.images++
    else content.opaque = true
  }
  return referenceIn(json)
}

type Reference = { name: string; kind: ReferenceName }

const fileId = (name: string): Reference => ({ name, kind: 'file_ids' })
const remoteUrl = (name: string): Reference => ({ name, kind: 'remote_urls' })

function referenceIn(json: Json): Reference | null {
  if (typeof json['file_id'] === 'string') return fileId('file_id')
  if (json['fileData'] != null || json['file_data'] != null) {
    const held = json['file_data']
    if (typeof held !== 'string') return remoteUrl('fileData') // a string is the file itself, in OpenAI's form
  }
  if (typeof json['file_url'] === 'string') return remoteUrl('file_url')
  if (json['type'] === 'container_upload') return fileId('container_upload')
  if (json['type'] === 'url' && typeof json['url'] === 'string') return remoteUrl('a url source')
  const image = json['image_url']
  const url = typeof image === 'string' ? image : (image as Json | undefined)?.['url']
  return typeof url === 'string' && !inBody.test(url) ? remoteUrl('image_url') : null
}
