/**
 * Who takes part: each client, the family whose models it drives, and how its program is found. The three vendors' models are those that `init` writes;
 * the fourth one's name tells no family, and it is asked by chat completions.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pinnedModels } from '../../src/cli/init-file.ts'
import { findPrice, ratesFor } from '../../src/core/price.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import { loadPrices } from '../../src/gateway/prices.ts'

export type Client = {
  name: 'claude' | 'codex' | 'gemini' | 'opencode'
  family: string
  model: string
  /** Null: found on PATH, as a user's own would be. */
  program: string[] | null
  /** What its task may cost until a person lets it cost more: enough to begin, not enough to read on and on. */
  budgetNanoUsd: number
  /** The version that package.json pins. */
  version: string
}

/** A handful of requests. */
const budgetTokens = 200_000

function budgetFor(model: string): number {
  const price = findPrice(loadPrices(), model)
  if (isRefusal(price)) throw new Error(price.why)
  return Math.round((budgetTokens * ratesFor(price, '2026-11-28', 0).input) / 1e6)
}

/** The clients that npm has put into `folder`. For opencode the lockfile has builds for Linux on x64 alone: elsewhere it is missing. */
export function castOf(folder: string): Client[] {
  const { dependencies, optionalDependencies } = JSON.parse(
    readFileSync(join(import.meta.dirname, 'package.json'), 'utf8'),
  ) as Record<string, Record<string, string>>
  const pinned = (name: string) => {
    const version = { ...dependencies, ...optionalDependencies }[name]
    if (version === undefined) throw new Error(`package.json does not pin ${name}`)
    return version
  }
  const vendor = (name: Client['name'], family: string, npmName: string): Client => {
    const model = pinnedModels[family]
    if (model === undefined) throw new Error(`init knows no model of ${family}`)
    return { name, family, model, program: null, budgetNanoUsd: budgetFor(model), version: pinned(npmName) }
  }
  const opencode = join(folder, 'node_modules/opencode-linux-x64/bin/opencode')
  return [
    vendor('claude', 'anthropic', '@anthropic-ai/claude-code'),
    vendor('codex', 'openai', '@openai/codex'),
    vendor('gemini', 'google', '@google/gemini-cli'),
    ...(existsSync(opencode)
      ? [
          {
            name: 'opencode' as const,
            family: 'moonshot',
            model: 'kimi-k3',
            budgetNanoUsd: budgetFor('kimi-k3'),
            program: [opencode],
            version: pinned('opencode-linux-x64'),
          },
        ]
      : []),
  ]
}
