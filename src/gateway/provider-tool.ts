/**
 * What of a request a provider would do itself: recognised by each dialect's own names, taken out unless the operator named it, and where it was named
 * told how often it may be done. Chat completions have no such tool that could be counted, so nothing of it is let through there.
 */
import type { PassedTool, ProviderToolName, ProviderTools, ToolAllowance } from '../core/provider-tool.ts'
import type { FlatRates } from '../core/price.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { Dialect } from './route.ts'
import { elementsOf, setMember, splice, type Span } from './splice.ts'

type Json = Record<string, unknown>
type Edit = { at: Span; by: string }

const object = (value: unknown): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined

/** Tools that the client itself carries out. */
export const ownTool: Readonly<Record<Dialect, (tool: Json) => boolean>> = {
  'anthropic-messages': ({ type }) =>
    type == null ||
    (typeof type === 'string' && /^(custom$|(bash|text_editor|computer|memory|tool_search_tool)_)/.test(type)),
  'openai-responses': ({ type }) =>
    ['function', 'custom', 'local_shell', 'apply_patch', 'namespace', 'tool_search'].includes(String(type)),
  'openai-chat': ({ type }) => type === 'function' || type === 'custom',
  gemini: (tool) => Object.keys(tool).every((name) => isDeclaration(name)),
}

const isDeclaration = (name: string): boolean => /^function_?declarations$/i.test(name)

const byType: Readonly<Record<Exclude<Dialect, 'gemini'>, readonly (readonly [RegExp, ProviderToolName])[]>> = {
  'anthropic-messages': [
    [/^web_search_\d{8}$/, 'web_search'],
    [/^web_fetch_\d{8}$/, 'web_fetch'],
    [/^code_execution_\d{8}$/, 'code_execution'],
    [/^mcp_toolset$/, 'mcp'],
  ],
  'openai-responses': [
    [/^web_search(_preview)?(_\d{4}_\d{2}_\d{2})?$/, 'web_search'],
    [/^code_interpreter$/, 'code_execution'],
    [/^file_search$/, 'file_search'],
    [/^mcp$/, 'mcp'],
  ],
  'openai-chat': [],
}

const inGemini: Readonly<Record<string, ProviderToolName>> = {
  googleSearch: 'web_search',
  google_search: 'web_search',
  urlContext: 'web_fetch',
  url_context: 'web_fetch',
  codeExecution: 'code_execution',
  code_execution: 'code_execution',
}

/** The tools of the provider's that an entry of `tools` stands for; null among them: one that we do not know. */
function kindsOf(dialect: Dialect, tool: Json): (ProviderToolName | null)[] {
  if (dialect !== 'gemini') return [byType[dialect].find(([name]) => name.test(String(tool['type'])))?.[1] ?? null]
  return Object.keys(tool)
    .filter((name) => !isDeclaration(name))
    .map((name) => (Object.hasOwn(inGemini, name) ? inGemini[name]! : null))
}

export type Sorted = {
  edits: Edit[]
  /** Names of what was taken out, as the client wrote them. */
  stripped: string[]
  passed: { tool: ProviderToolName; uses: number }[]
}

/** Leaves out of `tools` what the provider would do itself and nobody allowed; what is allowed is told how often. */
export function sortTools(
  dialect: Dialect,
  json: Json,
  raw: Buffer,
  members: Map<string, Span>,
  allowed: ProviderTools,
): Sorted {
  const sorted: Sorted = { edits: [], stripped: [], passed: serversOf(dialect, json, allowed) }
  const at = members.get('tools')
  const tools = json['tools']
  if (at && Array.isArray(tools)) {
    const spans = elementsOf(raw, at)
    const left: Span[] = []
    for (const [index, each] of tools.entries()) {
      const tool = object(each) ?? { type: 'unknown' }
      const span = spans[index]!
      const kinds = ownTool[dialect](tool) ? [] : kindsOf(dialect, tool)
      const named = kinds.filter((kind) => kind !== null && allowed[kind] !== undefined) as ProviderToolName[]
      if (named.length < kinds.length) {
        sorted.stripped.push(nameOf(object(each)))
        continue
      }
      left.push(span)
      for (const kind of named) {
        const { uses, edits } = clamp(dialect, kind, { tool, raw, span, most: allowed[kind]! })
        sorted.edits.push(...edits)
        sorted.passed.push({ tool: kind, uses })
      }
    }
    if (sorted.stripped.length > 0)
      sorted.edits = [{ at, by: `[${left.map((span) => spliceOf(raw, span, sorted.edits)).join(',')}]` }]
  }
  if (dialect === 'openai-responses' && sorted.passed.length > 0) sorted.edits.push(callsEdit(json, raw, sorted.passed))
  return sorted
}

/** One tool's text, with the edits that lie in it. */
function spliceOf(raw: Buffer, { start, end }: Span, edits: readonly Edit[]): string {
  const own = edits.filter(({ at }) => at.start >= start && at.end <= end)
  const moved = own.map(({ at, by }) => ({ at: { start: at.start - start, end: at.end - start }, by }))
  return splice(raw.subarray(start, end), moved).toString('utf8')
}

/** Servers named at the top: one of them alone makes the model call it, where no toolset says which. */
function serversOf(dialect: Dialect, json: Json, { mcp }: ProviderTools): Sorted['passed'] {
  const servers = json['mcp_servers']
  if (dialect !== 'anthropic-messages' || !mcp || !Array.isArray(servers) || servers.length === 0) return []
  const tools: unknown[] = Array.isArray(json['tools']) ? json['tools'] : []
  const isSaid = tools.some((tool) => object(tool)?.['type'] === 'mcp_toolset')
  return isSaid ? [] : [{ tool: 'mcp', uses: mcp.uses }]
}

type Named = { tool: Json; raw: Buffer; span: Span; most: ToolAllowance }

/** Only Anthropic's search and fetch have fields of their own for it; elsewhere `uses` is what is held, and what goes beyond it is charged. */
function clamp(
  dialect: Dialect,
  kind: ProviderToolName,
  { tool, raw, span, most }: Named,
): { uses: number; edits: Edit[] } {
  if (dialect !== 'anthropic-messages' || (kind !== 'web_search' && kind !== 'web_fetch'))
    return { uses: most.uses, edits: [] }
  const uses = lesser(tool['max_uses'], most.uses)
  const edits = tool['max_uses'] === uses ? [] : [setMember(raw, 'max_uses', String(uses), span)]
  const tokens = lesser(tool['max_content_tokens'], most.tokens)
  if (kind === 'web_fetch' && tool['max_content_tokens'] !== tokens)
    edits.push(setMember(raw, 'max_content_tokens', String(tokens), span))
  return { uses, edits }
}

/** All that the provider may do of its own in one response, whatever it is. */
function callsEdit(json: Json, raw: Buffer, passed: Sorted['passed']): Edit {
  const most = passed.reduce((sum, { uses }) => sum + uses, 0)
  return setMember(raw, 'max_tool_calls', String(lesser(json['max_tool_calls'], most)))
}

const lesser = (asked: unknown, most: number): number =>
  Number.isSafeInteger(asked) && (asked as number) > 0 ? Math.min(asked as number, most) : most

/** What is let through, with its price. Refuses `price-unknown`, naming the setting that would say it. */
export function priceTools(
  { model, passed }: { model: string; passed: Sorted['passed'] },
  { family, tools = {} }: { family: string; tools?: ProviderTools },
  rates: FlatRates,
): PassedTool[] | Refusal {
  const priced: PassedTool[] = []
  for (const { tool, uses } of passed) {
    const { tokens, useNanoUsd } = tools[tool]!
    const cost = useNanoUsd ?? listPrice(family, tool, rates)
    if (cost === null)
      return refuse(
        'price-unknown',
        `no price is known for ${tool} by ${model}, so it cannot be used within a budget`,
        `say what one use costs: providerTools.${family}.${tool}.price in your settings`,
      )
    priced.push({ tool, uses, tokens, useNanoUsd: cost })
  }
  return priced
}

/** What one use costs beside its tokens, by the vendors' own pages; null: nobody told. */
function listPrice(family: string, tool: ProviderToolName, { webSearch }: Pick<FlatRates, 'webSearch'>): number | null {
  if (tool === 'web_search') return webSearch > 0 ? webSearch : null
  const bills = tool === 'code_execution' && family !== 'google'
  return bills || tool === 'file_search' ? null : 0 // fetched pages and what servers answer are billed as tokens alone
}

export const nameOf = (tool: Json | undefined): string =>
  typeof tool?.['type'] === 'string'
    ? tool['type'].slice(0, 64)
    : Object.keys(tool ?? {})
        .join('+')
        .slice(0, 64)
