/**
 * What the project's sources say about themselves: what each imports (statically, by type, by re-export, by `import()`, as a file beside itself), what
 * it exports, the text of its literals, its header. It never guesses: where an import cannot be read, it throws.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { parseSync } from 'oxc-parser'

export const root = join(import.meta.dirname, '..')

export type Import = { target: string; how: 'static' | 'dynamic' | 'beside' }
export type Harvest = {
  imports: Import[]
  exports: string[]
  /** All it exports is another's. */
  isBarrel: boolean
  /** Every name it declares or uses, but for those it imports and properties of things. */
  names: string[]
  /** Texts of strings and templates, without what is computed in them. */
  literals: string[]
  /** The source with its comments blanked out. */
  code: string
  /** Each with its own lines: those of functions inside it are theirs. */
  functions: { name: string; lines: number }[]
  header: string | null
  lines: number
}
export type Source = Harvest & { path: string; room: string; isTest: boolean }

/** Everything in `src` and `sim`, by path. Throws when there is nothing. */
export function harvestSources(): Source[] {
  const paths = globSync('{src,sim}/**/*.{ts,mts,cts,js,mjs,cjs,tsx,jsx}', { cwd: root })
    .map((path) => path.split(sep).join('/'))
    .toSorted()
  if (paths.length === 0) throw new Error('no source was found: the harvest is empty')
  return paths.map((path) => ({
    path,
    room: roomOf(path),
    isTest: /\.test\.\w+$/.test(path),
    ...harvest(path, readFileSync(join(root, path), 'utf8')),
  }))
}

/** The room of a path from the root: the folder in `src`, or `sim`. */
export function roomOf(path: string): string {
  const [first = '', second = ''] = path.split('/')
  return first === 'src' ? second : first
}

/** Where an import leads: a path from the root, or the name of a package without what is asked of it. */
export function leadsTo(path: string, target: string): string {
  if (target.startsWith('.'))
    return relative(root, join(root, dirname(path), target))
      .split(sep)
      .join('/')
  return target.split('/', target.startsWith('@') ? 2 : 1).join('/')
}

/** Reads one source. Throws where it does not parse or imports something computed. */
export function harvest(path: string, source: string): Harvest {
  const { module, errors, comments, program } = parseSync(path, source)
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`)
  const code = comments.reduceRight(
    (text, { start, end }) => text.slice(0, start) + ' '.repeat(end - start) + text.slice(end),
    source,
  )
  const exported = module.staticExports.flatMap(({ entries }) => entries)
  const reexported = exported.flatMap((entry) => entry.moduleRequest?.value ?? [])
  const imported = new Set(module.staticImports.flatMap(({ entries }) => entries.map((entry) => entry.localName.value)))
  const fixed = [...module.staticImports.map((each) => each.moduleRequest.value), ...reexported]
  const dynamic = module.dynamicImports.map(({ moduleRequest: { start, end } }) => word(path, source.slice(start, end)))
  const beside = [...code.matchAll(besides)].map(([, url, joined]) => word(path, (url ?? joined)!))
  return {
    imports: [
      ...fixed.map((target) => ({ target, how: 'static' as const })),
      ...dynamic.map((target) => ({ target, how: 'dynamic' as const })),
      ...beside.filter((target) => target.startsWith('.')).map((target) => ({ target, how: 'beside' as const })),
    ],
    exports: exported.flatMap((entry) => entry.exportName.name ?? []),
    isBarrel: exported.length > 0 && reexported.length === exported.length,
    names: [...namesIn(program)].filter((name) => !imported.has(name)),
    literals: literalsOf(program),
    code,
    functions: functionsIn(program, source),
    header: headerOf(source, comments[0]),
    lines: source.split('\n').length - (source.endsWith('\n') ? 1 : 0),
  }
}

/** `new URL('./x', import.meta.url)` and `join(import.meta.dirname, '../x')`: not imports, but they reach into other folders all the same. */
const besides = /new URL\(\s*([^,()]+),\s*import\.meta\.\w+|import\.meta\.dirname,\s*([^,()]+)/g

function word(path: string, said: string): string {
  const specifier = /^(['"`])([^'"`$]+)\1$/.exec(said.trim())?.[2]
  if (!specifier) throw new Error(`${path} imports something computed: ${said}`)
  return specifier
}

type Comment = { value: string; start: number }

/** The comment a file begins with; a line that says which program reads it may stand before. */
function headerOf(source: string, first: Comment | undefined): string | null {
  const before = source.slice(0, first?.start ?? 0).replace(/^#!.*\n/, '')
  const text = first?.value.replaceAll(/^\s*\*+/gm, '').trim() ?? ''
  return first && before.trim() === '' && text !== '' ? text : null
}

function literalsOf(node: unknown): string[] {
  if (Array.isArray(node)) return node.flatMap(literalsOf)
  if (typeof node !== 'object' || node === null) return []
  const { type, value, quasis, expressions, ...rest } = node as Record<string, unknown>
  if (type === 'Literal' && typeof value === 'string') return [value]
  if (type === 'TemplateLiteral') {
    const parts = quasis as { value: { cooked: string | null } }[]
    return [parts.map((part) => part.value.cooked ?? '').join('…'), ...literalsOf(expressions)]
  }
  return literalsOf([value, quasis, expressions, ...Object.values(rest)])
}

function namesIn(node: unknown, names = new Set<string>()): Set<string> {
  if (Array.isArray(node)) for (const each of node) namesIn(each, names)
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return names
  const { type, name, property, computed, key, shorthand, ...rest } = node as Record<string, unknown>
  if (type === 'Identifier' && typeof name === 'string') names.add(name)
  if (type !== 'MemberExpression' || computed === true) namesIn(property, names)
  if (computed === true || shorthand === true) namesIn(key, names)
  for (const each of Object.values(rest)) namesIn(each, names)
  return names
}

function functionsIn(program: unknown, source: string): { name: string; lines: number }[] {
  const found: { name: string; lines: number }[] = []
  const lineAt = (offset: number) => source.slice(0, offset).split('\n').length
  /** Answers how many lines below a node belong to functions in it. */
  const look = (node: unknown, name: string): number => {
    if (Array.isArray(node)) return node.reduce((sum: number, each) => sum + look(each, name), 0)
    if (typeof node !== 'object' || node === null) return 0
    const { type, id, key, body, start, end } = node as Record<string, { name?: string } & number>
    const own = id?.name ?? key?.name ?? name
    const inside = Object.values(node).reduce((sum: number, each) => sum + look(each, own), 0)
    if (!body || !/Function/.test(String(type))) return inside
    const lines = lineAt(end!) - lineAt(start!) + 1
    found.push({ name: own, lines: lines - inside })
    return lines - 1
  }
  look(program, '')
  return found
}
