/**
 * What a provider does by itself within a request, and how much of it the operator lets through (`providerTools:`). Everything that is not named is
 * taken out or refused.
 *
 * Pure. `remote_urls`, `file_ids` and `stored_responses` are no tools, but ways in which a request speaks of what is not in it: nobody can tell their
 * tokens, so the whole context window is held for them.
 */
export const providerToolNames = ['web_search', 'web_fetch', 'code_execution', 'file_search', 'mcp'] as const
export const referenceNames = ['remote_urls', 'file_ids', 'stored_responses'] as const

export type ProviderToolName = (typeof providerToolNames)[number]
export type ReferenceName = (typeof referenceNames)[number]

export type ToolAllowance = {
  /** At most so often in one request. */
  uses: number
  /** Input tokens that one use is taken to add at most: what it brings, and what the model wrote before it. */
  tokens: number
  /** What one use costs beside its tokens; null: as the price table or the vendor's page has it, else it is refused. */
  useNanoUsd: number | null
}

export type ProviderTools = Partial<Record<ProviderToolName | ReferenceName, ToolAllowance>>

/** A thousand words a page, ten pages, and twice that in case. */
export const defaultAllowance: ToolAllowance = { uses: 3, tokens: 32_000, useNanoUsd: null }

/** What is let through of one request, and what is held for it. */
export type PassedTool = { tool: ProviderToolName; uses: number; tokens: number; useNanoUsd: number }

/** The model reads everything once more after each use: input tokens beyond those of the request itself. */
export function addedTokens(passed: readonly PassedTool[], input: number, window: number): number {
  const uses = passed.flatMap(({ uses, tokens }) => Array.from({ length: uses }, () => tokens))
  let read = input
  let added = 0
  for (const tokens of uses) {
    read = Math.min(window, read + tokens)
    added += read
  }
  return added
}

export const feeOf = (passed: readonly PassedTool[]): number =>
  passed.reduce((sum, { uses, useNanoUsd }) => sum + uses * useNanoUsd, 0)
