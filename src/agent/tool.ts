/** What the vendors' parsers share about tools: a kind by name, and the name of a tool that ended, which clients say only at its start. */
import type { AgentEvent, TokenUse } from './agent.ts'

type ToolEvent = Extract<AgentEvent, { type: 'tool' }>
export type ToolKind = ToolEvent['kind']

export const noTokens: TokenUse = { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 }

export const kindOf = (kinds: ReadonlyMap<string, ToolKind>, name: string): ToolKind => kinds.get(name) ?? 'other'

/** Remembers open tools, so that the end of one can be told with its name. */
export function toolNames(): {
  start(id: string, name: string, kind: ToolKind, detail: string): ToolEvent
  end(id: string, ok: boolean, detail?: string): ToolEvent
} {
  const open = new Map<string, { name: string; kind: ToolKind }>()
  return {
    start(id, name, kind, detail) {
      open.set(id, { name, kind })
      return { type: 'tool', phase: 'start', id, name, kind, detail }
    },
    end(id, ok, detail) {
      const { name, kind } = open.get(id) ?? { name: '', kind: 'other' }
      open.delete(id)
      return { type: 'tool', phase: 'end', id, name, kind, ok, ...(detail === undefined ? {} : { detail }) }
    },
  }
}
