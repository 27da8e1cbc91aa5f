/**
 * A family is the lineage of a *model*: the unit of diversity. It is read off the model's name as seen on the wire,
 * never off the name of the CLI that sent it.
 */
export type Family = 'anthropic' | 'openai' | 'google' | (string & {})

const lineage: readonly (readonly [RegExp, Family])[] = [
  [/^(claude|anthropic)/, 'anthropic'],
  [/^(gpt|o[1-9]|codex|chatgpt|openai)/, 'openai'],
  [/^(gemini|gemma|google)/, 'google'],
]

/** The family a model belongs to, or null where the name is not known: then nothing may be assumed and the request is refused. */
export function familyOf(model: string, others: Readonly<Record<string, Family>> = {}): Family | null {
  const name = model.toLowerCase().replace(/^(models|anthropic|openai|google)\//, '')
  const said = [model, name].find((each) => Object.hasOwn(others, each))
  if (said !== undefined) return others[said]!
  return lineage.find(([pattern]) => pattern.test(name))?.[1] ?? null
}
