/**
 * Adding to a YAML file a person wrote: what is there stays, comments and order too; only keys that are missing are put in. Loaded only when such
 * a file is really changed. It never removes and never replaces.
 */
import { isMap, parseDocument } from 'yaml'

export type Addition = { path: readonly string[]; value: unknown }

/** The text with every missing key of `additions` put in; the same text when none is missing. The text must be valid: whoever calls has checked it. */
export function addMissing(text: string, additions: readonly Addition[]): string {
  const document = parseDocument(text)
  let changed = false
  for (const { path, value } of additions) {
    const parent = path.slice(0, -1)
    const holder = parent.length === 0 ? document.contents : document.getIn(parent)
    if (document.hasIn(path) || (holder !== null && holder !== undefined && !isMap(holder))) continue
    if (holder === null && parent.length > 0) document.deleteIn(parent) // `families:` with nothing behind it
    if (isMap(holder) && holder.items.length === 0) holder.flow = false // `families: {}` grows lines, not one long one
    document.setIn(path, document.createNode(value))
    changed = true
  }
  return changed ? document.toString({ lineWidth: 0, flowCollectionPadding: true }) : text
}

/** The text with `path` set to `value`, whatever was there. */
export function setKey(text: string, path: readonly string[], value: unknown): string {
  const document = parseDocument(text)
  const holder = document.getIn(path.slice(0, -1))
  if (path.length > 1 && !isMap(holder)) document.deleteIn(path.slice(0, -1)) // `money:` with nothing behind it
  document.setIn(path, document.createNode(value))
  return document.toString({ lineWidth: 0, flowCollectionPadding: true })
}
