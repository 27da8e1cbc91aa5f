/**
 * An upper bound on the input tokens of a request, without a tokenizer (it would block everyone for 0.1 s on a long body).
 *
 * A token is at least one byte, so bytes bound tokens; that is four times too much, so a conversation that grows is anchored: what an earlier
 * request of it was billed, plus the bytes that are new. Nothing here is a guess: a bound may be loose, never too low.
 */
import type { Content } from './content.ts'

/** An earlier request and what it was billed. */
export type Anchor = { model: string; terms: string; body: Buffer; tokens: number }

/** Instructions a provider adds for tools and formats, which are in no body. */
const unseenTokens = 2000
/** No vendor bills more for one picture (high detail, largest tiles). */
const imageTokens = 8000
/** What is assumed where the table does not know the window and the content has no other bound. */
export const widestContext = 2_000_000

/** Most input tokens this body can be billed. */
export function boundInput(
  ask: Content & { model: string; terms: string; raw: Buffer; context: number | null },
  anchors: readonly Anchor[],
): number {
  const window = ask.context ?? widestContext
  if (ask.opaque) return window
  const fresh = anchors
    .filter(({ model, terms }) => model === ask.model && terms === ask.terms)
    .map(({ body, tokens }) => tokens + addedBytes(body, ask.raw))
  const bytes = Math.min(ask.raw.length, ...fresh)
  return Math.min(window, bytes + unseenTokens + ask.images * imageTokens)
}

/** The same where the provider itself has counted: two of the vendors call their number an estimate. */
export const boundCounted = (tokens: number): number => Math.ceil(1.02 * tokens) + unseenTokens

/** Bytes of `next` that are not at its beginning or end as they are in `before`. */
export function addedBytes(before: Buffer, next: Buffer): number {
  const most = Math.min(before.length, next.length)
  const prefix = sharedPrefix(before, next, most)
  let suffix = 0
  while (suffix < most - prefix && before[before.length - 1 - suffix] === next[next.length - 1 - suffix]) suffix++
  return next.length - prefix - suffix
}

/** Blocks are compared natively, the one that differs byte by byte. */
function sharedPrefix(a: Buffer, b: Buffer, most: number): number {
  const block = 4096
  let at = 0
  while (at + block <= most && a.compare(b, at, at + block, at, at + block) === 0) at += block
  while (at < most && a[at] === b[at]) at++
  return at
}
