/**
 * YAML as a value that remembers its lines. Loaded only when a file is really read: the parser costs tens of milliseconds.
 *
 * A message never quotes the text it is about: it may hold a key.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { refuse, type Refusal } from '../core/refusal.ts'

export type YamlText = {
  value: unknown
  /** The line (1 is the first) where this path is written, or the nearest thing around it that is. */
  lineOf(path: readonly PropertyKey[]): number
}

/** Reads one YAML document that is a mapping or empty. `firstLine`: the line its text begins at in `file`. Refuses: `config-invalid`. */
export function readYaml(text: string, file: string, firstLine = 1): YamlText | Refusal {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, strict: true })
  const lineAt = (offset: number) => counter.linePos(offset).line + firstLine - 1
  const wrong = [...document.errors, ...document.warnings][0]
  if (wrong) {
    const what =
      wrong.code === 'DUPLICATE_KEY' ? 'the key of this line stands there twice' : `not valid YAML (${wrong.code})`
    return refuse('config-invalid', `${file}:${lineAt(wrong.pos[0])}: ${what}`)
  }
  const root = document.contents
  if (root !== null && !isMap(root) && !(isScalar(root) && root.value === null))
    return refuse('config-invalid', `${file}:${firstLine}: expected \`key: value\` lines`)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 20 }) ?? {}
  } catch {
    return refuse('config-invalid', `${file}: its aliases refer to nothing, or to too much`)
  }
  return {
    value,
    lineOf: (path) => {
      let node: unknown = root
      let line = firstLine
      for (const step of path) {
        const next = child(isAlias(node) ? node.resolve(document) : node, step)
        if (next === null) break
        if (next.offset !== null) line = lineAt(next.offset)
        node = next.node
      }
      return line
    },
  }
}

function child(node: unknown, step: PropertyKey): { node: unknown; offset: number | null } | null {
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
    return pair ? { node: pair.value, offset: (pair.key as Node).range?.[0] ?? null } : null
  }
  if (isSeq(node) && typeof step === 'number') {
    const item = node.items[step] as Node | undefined
    return item ? { node: item, offset: item.range?.[0] ?? null } : null
  }
  return null
}
