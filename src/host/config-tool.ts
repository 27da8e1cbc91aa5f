/**
 * `providerTools:` of the operator's file, made into settings, and what a person must know of them: each is a way out of the sandbox.
 */
import {
  defaultAllowance,
  providerToolNames,
  referenceNames,
  type ProviderTools,
  type ToolAllowance,
} from '../core/provider-tool.ts'
import { showUsd } from '../core/quantity.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { type Origin, originOf, type Written } from './config-family.ts'

type Settings = OperatorSettings['providerTools']

/** With defaults filled in. */
export const providerToolsOf = (written: Written | null): Settings =>
  Object.fromEntries(
    Object.entries(written?.values.providerTools ?? {}).map(([family, said]) => {
      const tools: ProviderTools = {}
      for (const name of providerToolNames) {
        const { uses, tokens, price } = said[name] ?? {}
        if (said[name])
          tools[name] = {
            uses: uses ?? defaultAllowance.uses,
            tokens: tokens ?? defaultAllowance.tokens,
            useNanoUsd: price ?? null,
          }
      }
      for (const name of referenceNames) if (said[name]) tools[name] = defaultAllowance
      return [family, tools]
    }),
  )

const isReference = (name: string): boolean => (referenceNames as readonly string[]).includes(name)

function tellAllowance(name: string, { uses, tokens, useNanoUsd }: ToolAllowance): string {
  if (isReference(name)) return 'let through'
  const price = useNanoUsd === null ? 'at its list price' : `at ${showUsd(useNanoUsd)} each`
  return `${uses} uses a request, ${price}, ${tokens} tokens each`
}

export const providerToolOrigins = (
  { providerTools }: Pick<OperatorSettings, 'providerTools'>,
  written: Written | null,
): Origin[] =>
  Object.entries(providerTools).flatMap(([family, tools]) =>
    Object.entries(tools).map(([name, allowance]) => ({
      key: `providerTools.${family}.${name}`,
      value: tellAllowance(name, allowance),
      origin: originOf(written!, ['providerTools', family, name]),
    })),
  )

/** Said wherever settings are: which promise no longer holds. */
export const notesOnTools = (providerTools: Settings): string[] =>
  Object.entries(providerTools).flatMap(([family, tools]) =>
    Object.keys(tools).length === 0
      ? []
      : [
          `providerTools lets ${family} use ${Object.keys(tools).join(', ')}: its provider reaches the network in an agent's name, so what an agent knows can leave the sandbox that way`,
        ],
  )
